/* A page that is opened as a file may start no worker. The search's then runs in a frame: same messages, same script. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      const inside = frame.contentWindow;
      this.ready = new Promise((loaded, failed) => {
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = inside.document.createElement("script");
        Object.assign(script, { src: url, onload: loaded, onerror: failed });
        inside.document.head.appendChild(script);
      });
      this.send = (data) => inside.dispatchEvent(new MessageEvent("message", { data }));
    }

    postMessage(data) {
      this.ready.then(() => this.send(data));
    }
  };
}
