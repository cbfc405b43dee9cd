// The pages of a file with the outlines of their lines, beside the lines' texts or the whole text, which can be edited.
import { loadPicture } from "/pages/pictures.js";

const ZOOMS = [1, 1.5, 2, 3];

export default {
  template: `
    <div class="pages" :class="{ split: text !== null }">
      <div class="pages-view">
        <div v-if="!compact" class="bar">
          <template v-if="count > 1">
            <button type="button" class="button" :disabled="page === 0" @click="show(page - 1)">Back <kbd data-key="[">[</kbd></button>
            <span class="small">Page {{ page + 1 }} of {{ count }}</span>
            <button type="button" class="button" :disabled="page + 1 === count" @click="show(page + 1)">Next <kbd data-key="]">]</kbd></button>
          </template>
          <button type="button" class="button" data-zoom @click="zoomIn">Zoom {{ zoom * 100 }} % <kbd data-key="z">z</kbd></button>
        </div>
        <p v-if="problem" class="note bad" role="alert">{{ problem }}</p>
        <div v-else class="pages-scroll" ref="scroll">
          <div class="pages-picture" :style="{ width: zoom * 100 + '%' }">
            <img v-if="url" :src="url" :alt="'Page ' + (page + 1)" @load="loaded" />
            <p v-else class="muted small">Drawing the page</p>
            <svg v-if="width && !whole" :viewBox="'0 0 ' + width + ' ' + height" preserveAspectRatio="none" aria-hidden="true">
              <template v-for="(line, index) in items">
                <polygon v-if="line.polygon && line.page === page" :points="line.polygon.join(' ')" :data-line="index"
                  :class="classes(line, index)" @mouseenter="point(index)" @mouseleave="hovered = null" @click="edit(index)">
                  <title>{{ line.text }}</title>
                </polygon>
              </template>
            </svg>
          </div>
        </div>
      </div>
      <div v-if="text !== null" class="pages-texts">
        <div class="bar">
          <button v-if="items.length" type="button" class="button" @click="toggle">{{ whole ? "Line by line" : "Whole text" }} <kbd data-key="w">w</kbd></button>
          <label v-if="!whole && items.length" class="small" title="A correction then names all lines, not only the changed ones"><input type="checkbox" v-model="checked" @change="send" /> I have checked all lines</label>
          <span v-if="whole" class="muted small"><kbd>Ctrl</kbd> <kbd>Enter</kbd> sends</span>
        </div>
        <textarea v-if="whole" class="answer page-text" rows="12" :value="written" data-answer spellcheck="false" aria-label="Text" @input="write($event.target.value)"></textarea>
        <ol v-else class="lines" ref="lines">
          <li v-for="(line, index) in items" :class="classes(line, index)" :data-row="index" @mouseenter="hovered = index" @mouseleave="hovered = null">
            <h3 v-if="count > 1 && (!index || items[index - 1].page !== line.page)">Page {{ line.page + 1 }}</h3>
            <textarea class="line" rows="1" :value="line.text" :aria-label="'Line ' + (index + 1)" spellcheck="false" autocomplete="off"
              :data-answer="items.length === 1 ? '' : null" data-enter="send" :data-edit="index === (selected ?? 0) ? '' : null" @focus="select(index)"
              @input="change(index, $event.target.value)" @keydown.down.prevent="edit(index + 1)" @keydown.up.prevent="edit(index - 1)"
              @keydown.enter="leave"></textarea>
            <span v-if="line.confidence !== undefined" class="sure small" title="Confidence">{{ Math.floor(line.confidence * 100) }} %</span>
          </li>
        </ol>
      </div>
    </div>`,
  props: { src: String, pages: String, lines: Array, text: String, all: Boolean, compact: Boolean },
  emits: ["change"], // declared, or else the change events of the fields would be sent as well
  data() {
    const items = this.lines.map((line) => ({ ...line, served: line.text, page: line.page ?? 0 }));
    return {
      items, whole: !items.length, written: this.text, checked: this.all, selected: null, hovered: null,
      url: "", page: 0, count: 1, width: 0, height: 0, zoom: 1, problem: "",
    };
  },
  mounted() {
    this.show(0);
  },
  unmounted() {
    this.release();
  },
  methods: {
    async show(page) {
      this.wanted = page;
      try {
        const picture = await loadPicture(this.src, this.pages, page, this.compact);
        if (this.wanted !== page) return;
        this.release();
        this.problem = "";
        Object.assign(this, { page, ...picture, width: picture.width ?? 0, height: picture.height ?? 0 });
      } catch (error) {
        this.problem = "The page can't be shown: " + error.message;
      }
    },
    release() {
      if (this.url.startsWith("blob:")) URL.revokeObjectURL(this.url);
    },
    loaded(event) {
      if (this.pages) return;
      this.width = event.target.naturalWidth;
      this.height = event.target.naturalHeight;
    },
    classes(line, index) {
      const level = line.confidence === undefined || line.confidence >= 0.9 ? "sure-high" : line.confidence >= 0.6 ? "sure-middle" : "sure-low";
      return [level, { selected: index === this.selected, hovered: index === this.hovered, changed: line.text !== line.served }];
    },
    zoomIn() {
      this.zoom = ZOOMS[(ZOOMS.indexOf(this.zoom) + 1) % ZOOMS.length];
      this.$nextTick(() => this.reveal(this.selected));
    },
    point(index) {
      this.hovered = index;
      this.scrollTo(this.$refs.lines, this.$refs.lines?.querySelector(`[data-row="${index}"]`));
    },
    edit(index) {
      this.$refs.lines?.querySelector(`[data-row="${index}"] textarea`)?.focus();
    },
    leave(event) {
      if (this.items.length === 1) return; // it is sent
      event.preventDefault();
      event.target.blur(); // the next Enter is the page's
    },
    async select(index) {
      this.selected = index;
      if (this.items[index].page !== this.page) await this.show(this.items[index].page);
      this.$nextTick(() => this.reveal(index));
    },
    reveal(index) {
      this.scrollTo(this.$refs.scroll, this.$refs.scroll?.querySelector(`[data-line="${index}"]`));
    },
    scrollTo(container, element) {
      if (!container || !element) return;
      const [outer, inner] = [container.getBoundingClientRect(), element.getBoundingClientRect()];
      const offset = (start, end, low, high) => (start < low ? start - low - 24 : end > high ? Math.min(end - high + 24, start - low - 24) : 0);
      container.scrollBy(offset(inner.left, inner.right, outer.left, outer.right), offset(inner.top, inner.bottom, outer.top, outer.bottom));
    },
    change(index, text) {
      this.items[index].text = text;
      this.send();
    },
    toggle() {
      this.whole = !this.whole;
      if (this.whole && this.items.some((line) => line.text !== line.served)) {
        this.written = this.items.map((line) => line.text).join("\\n");
      } else this.written = this.text;
      this.send();
    },
    write(text) {
      this.written = text;
      this.send();
    },
    send() {
      this.$emit("change", this.whole ? { text: this.written } : { texts: this.items.map((line) => line.text), all: this.checked });
    },
  },
};
