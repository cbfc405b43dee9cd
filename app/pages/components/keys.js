// Keyboard shortcuts: the page's keys are sent to the server; keys that need no server are handled here.
export default {
  props: { keys: Array },
  emits: ["key"],
  mounted() {
    document.addEventListener("keydown", this.press);
  },
  unmounted() {
    document.removeEventListener("keydown", this.press);
  },
  methods: {
    press(event) {
      if (event.defaultPrevented || event.repeat || event.isComposing) return;
      if (document.querySelector("dialog[open]")) return;
      const target = event.target;
      const answer = document.querySelector("[data-answer]");
      const chord = event.ctrlKey || event.metaKey;
      if (target.tagName === "TEXTAREA" && target === answer && event.key === "Enter") {
        // In a text of several lines Enter begins the next one; of a single line, Shift and Enter do.
        if (chord || (answer.dataset.enter === "send" && !event.shiftKey)) this.send(event);
        return;
      }
      if (chord || event.altKey) return;
      if (target.matches?.("input:not([type=checkbox]), textarea, select")) {
        if (event.key === "Escape") target.blur();
        else if (event.key === "Enter" && target.tagName === "INPUT") {
          if (target === answer) this.send(event);
          else target.blur(); // its value is complete: the next Enter is the page's
        }
        return;
      }
      const field = document.querySelector("[data-edit]") ?? answer;
      const control = document.querySelector(`[data-key=${JSON.stringify(event.key)}]`);
      if (event.key === "?") document.getElementById("help")?.showModal();
      else if (event.key === "e" && field) {
        field.focus();
        field.select?.();
      } else if (event.key === " " && document.querySelector("audio")) {
        const audio = document.querySelector("audio");
        audio.paused ? audio.play() : audio.pause();
      } else if (control) {
        control.closest("button").click();
      } else if (this.keys.includes(event.key) && !(event.key === "Enter" && target.matches?.("button, a, summary"))) {
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
