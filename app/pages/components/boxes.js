// A picture with boxes in its pixels, which the pointer and keys move, resize, add and remove. A label is searched.
import { loadPicture } from "/pages/pictures.js";

const HANDLES = [[0, 1], [2, 1], [0, 3], [2, 3]];
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export default {
  template: `
    <div class="boxes" ref="root" tabindex="0" role="application" aria-label="Boxes on the picture" @keydown="press">
      <div class="boxes-picture" ref="picture" @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up">
        <img v-if="url" :src="url" alt="The picture" draggable="false" @load="loaded" />
        <p v-if="problem" class="note bad" role="alert">{{ problem }}</p>
        <svg v-if="width" :viewBox="'0 0 ' + width + ' ' + height" aria-hidden="true">
          <g v-for="(item, index) in items" :class="{ selected: index === selected }" :data-box="index">
            <rect class="box" v-bind="rectangle(item.box)" :data-index="index" />
            <template v-if="index === selected">
              <circle v-for="(handle, corner) in handles" class="handle" :cx="item.box[handle[0]]" :cy="item.box[handle[1]]"
                :r="5 * scale" :data-index="index" :data-corner="corner" />
            </template>
          </g>
        </svg>
        <span v-for="(item, index) in width ? items : []" class="boxes-label" :class="{ selected: index === selected }"
          :style="{ left: (100 * item.box[0]) / width + '%', top: (100 * item.box[1]) / height + '%' }">{{ item.label }}</span>
      </div>
      <div class="bar">
        <div v-if="selected !== null && items[selected]" class="search">
          <input ref="label" role="combobox" aria-label="Label of the box" :aria-expanded="searching" aria-controls="labels" autocomplete="off"
            :value="searching ? query : items[selected].label" @focus="search" @blur="searching = false"
            @input="query = $event.target.value; choice = 0" @keydown="choose" />
          <ul v-if="searching" id="labels" class="matches" role="listbox">
            <li v-for="(label, index) in matches" role="option" :aria-selected="index === choice" @pointerdown.prevent="relabel(label)">{{ label }}</li>
            <li v-if="!matches.length" class="muted">no such label</li>
          </ul>
        </div>
        <button type="button" class="button" @click="add">Add <kbd>n</kbd></button>
        <button type="button" class="button" :disabled="selected === null" @click="remove">Remove <kbd>Del</kbd></button>
        <span class="muted small"><kbd>,</kbd> <kbd>.</kbd> choose · arrows move · <kbd>Alt</kbd> resizes · <kbd>Shift</kbd> by ten · <kbd>l</kbd> label, type to search</span>
      </div>
    </div>`,
  props: { src: String, pages: String, boxes: Array, labels: Array },
  emits: ["change"], // declared, or else the change events of the field would be sent as well
  data() {
    return {
      items: JSON.parse(JSON.stringify(this.boxes)), selected: null, width: 0, height: 0, scale: 1, drag: null,
      url: "", problem: "", searching: false, query: "", choice: 0, label: this.labels[0],
    };
  },
  computed: {
    handles: () => HANDLES,
    matches() {
      const query = this.query.trim().toLowerCase();
      const rank = (label) => [label.startsWith(query), label.includes(" " + query), label.includes(query)].indexOf(true);
      const found = this.labels.map((label) => [rank(label.toLowerCase()), label]).filter(([place]) => place >= 0);
      return found.sort((a, b) => a[0] - b[0]).map(([, label]) => label);
    },
  },
  mounted() {
    loadPicture(this.src, this.pages, 0).then(
      (picture) => Object.assign(this, { url: picture.url, width: picture.width ?? 0, height: picture.height ?? 0 }),
      (error) => (this.problem = "The picture can't be shown: " + error.message),
    );
    this.resizeObserver = new ResizeObserver(() => this.rescale());
    this.resizeObserver.observe(this.$refs.picture);
    this.$refs.root.focus({ preventScroll: true });
  },
  unmounted() {
    this.resizeObserver.disconnect();
    if (this.url.startsWith("blob:")) URL.revokeObjectURL(this.url);
  },
  methods: {
    loaded(event) {
      if (!this.pages) [this.width, this.height] = [event.target.naturalWidth, event.target.naturalHeight];
      this.rescale();
    },
    rescale() {
      if (this.width && this.$refs.picture) this.scale = this.width / (this.$refs.picture.clientWidth || this.width);
    },
    rectangle([x0, y0, x1, y1]) {
      return { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
    },
    point(event) {
      const at = this.$refs.picture.getBoundingClientRect();
      return [((event.clientX - at.left) / at.width) * this.width, ((event.clientY - at.top) / at.height) * this.height];
    },
    down(event) {
      if (!this.width || event.button) return;
      const { index, corner } = event.target.dataset;
      const at = this.point(event);
      if (corner !== undefined) this.drag = { mode: "resize", at, handle: HANDLES[corner] };
      else if (index !== undefined) this.drag = { mode: "move", at };
      else this.drag = { mode: "draw", at };
      if (index !== undefined) this.selected = Number(index);
      else this.selected = null;
      this.$refs.picture.setPointerCapture(event.pointerId);
      this.$refs.root.focus({ preventScroll: true });
      event.preventDefault();
    },
    move(event) {
      if (!this.drag) return;
      const at = this.point(event);
      const by = [at[0] - this.drag.at[0], at[1] - this.drag.at[1]];
      if (this.drag.mode === "draw") {
        if (Math.hypot(...by) < 4 * this.scale) return;
        this.items.push({ box: [...this.drag.at, ...at], label: this.label });
        this.selected = this.items.length - 1;
        this.drag = { mode: "resize", at, handle: [2, 3], moved: true };
        return;
      }
      this.drag.at = at;
      this.drag.moved = true;
      this.shift(by, this.drag.mode === "move" ? null : this.drag.handle);
    },
    up() {
      const drag = this.drag;
      this.drag = null;
      if (drag?.moved) this.emitChange(); // a click only selects
    },
    shift([dx, dy], handle) {
      const box = this.items[this.selected].box;
      if (handle) {
        box[handle[0]] = Math.min(this.width, Math.max(0, box[handle[0]] + dx));
        box[handle[1]] = Math.min(this.height, Math.max(0, box[handle[1]] + dy));
        return;
      }
      dx = Math.min(this.width - Math.max(box[0], box[2]), Math.max(-Math.min(box[0], box[2]), dx));
      dy = Math.min(this.height - Math.max(box[1], box[3]), Math.max(-Math.min(box[1], box[3]), dy));
      this.items[this.selected].box = [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy];
    },
    press(event) {
      if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || !this.width) return;
      const step = STEPS[event.key];
      const count = this.items.length;
      if (step && count) {
        this.selected ??= 0;
        const by = event.shiftKey ? 10 : 1;
        this.shift([step[0] * by, step[1] * by], event.altKey ? [2, 3] : null);
        this.emitChange();
      } else if ((event.key === "." || event.key === ",") && count) {
        const direction = event.key === "." ? 1 : -1;
        this.selected = this.selected === null ? 0 : (this.selected + direction + count) % count;
      } else if (event.key === "n") this.add();
      else if (event.key === "l" && this.selected !== null) this.$refs.label.focus();
      else if ((event.key === "Delete" || event.key === "Backspace") && this.selected !== null) this.remove();
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    add() {
      const [w, h] = [this.width, this.height];
      this.items.push({ box: [w * 0.4, h * 0.4, w * 0.6, h * 0.6], label: this.label });
      this.selected = this.items.length - 1;
      this.emitChange();
    },
    remove() {
      this.items.splice(this.selected, 1);
      this.selected = null;
      this.$refs.root.focus({ preventScroll: true });
      this.emitChange();
    },
    search() {
      Object.assign(this, { searching: true, query: "", choice: this.labels.indexOf(this.items[this.selected].label) });
      this.$nextTick(() => this.showChoice());
    },
    choose(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && this.matches.length) {
        this.choice = (this.choice + step + this.matches.length) % this.matches.length;
        this.$nextTick(() => this.showChoice());
      } else if (event.key === "Enter" && this.matches.length) this.relabel(this.matches[this.choice]);
      else if (event.key === "Escape") this.$refs.root.focus({ preventScroll: true });
      else if (event.key !== "Enter") return;
      event.preventDefault();
      event.stopPropagation();
    },
    showChoice() {
      this.$refs.root.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
    },
    relabel(label) {
      this.label = this.items[this.selected].label = label; // the next box is often another of these
      this.$refs.root.focus({ preventScroll: true });
      this.emitChange();
    },
    emitChange() {
      const round = (value) => Math.round(value * 10) / 10;
      const boxes = this.items.map(({ box: [x0, y0, x1, y1], label }) => ({
        box: [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)].map(round),
        label,
      }));
      this.$emit("change", boxes);
    },
  },
};
