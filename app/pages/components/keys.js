// One keystroke does it: what the page has asked for goes to the server, what needs no server is done here.
export default {
  props: { keys: Array },
  mounted() {
    document.addEventListener("keydown", this.press);
  },
  unmounted() {
    document.removeEventListener("keydown", this.press);
  },
  methods: {
    press(event) {
      if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector("dialog[open]")) return;
      const at = event.target;
      const answer = document.querySelector("[data-answer]");
      if (at.matches?.("input:not([type=checkbox]), textarea, select")) {
        if (event.key === "Escape") at.blur();
        else if (event.key === "Enter" && at === answer && at.tagName === "INPUT") this.send(event);
        return;
      }
      if (event.key === "?") document.getElementById("help")?.showModal();
      else if (event.key === "e" && answer) {
        answer.focus();
        answer.select?.();
      } else if (event.key === " " && document.querySelector("audio")) {
        const audio = document.querySelector("audio");
        audio.paused ? audio.play() : audio.pause();
      } else if (this.keys.includes(event.key) && !(event.key === "Enter" && at.matches?.("button, a, summary"))) {
        this.send(event);
        return;
      } else return;
      event.preventDefault();
    },
    send(event) {
      event.preventDefault();
      this.$emit("key", event.key);
    },
  },
};
