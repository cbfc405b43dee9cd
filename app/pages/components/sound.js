// An audio player: the browser's own player with a waveform. A click on the waveform seeks, one on a segment plays it.
export default {
  template: `
    <figure class="sound">
      <div class="wave-box">
        <canvas ref="canvas" class="wave" @click="seek" aria-label="Waveform"></canvas>
        <template v-if="duration">
          <button v-for="(segment, index) in segments" type="button" class="segment" :class="{ playing: index === current }" tabindex="-1"
            :style="{ left: percent(segment.start), width: percent(segment.end - segment.start) }"
            :title="times(segment) + '  ' + segment.text" :aria-label="'Play segment ' + (index + 1)" @click="play(index)"></button>
        </template>
      </div>
      <audio ref="audio" :src="url" controls preload="auto" @timeupdate="update" @seeked="update" @pause="until = null"></audio>
      <figcaption v-if="problem" class="warn small">{{ problem }}</figcaption>
      <ol v-if="segments.length" class="segments small">
        <li v-for="(segment, index) in segments" :class="{ playing: index === current }">
          <button type="button" class="button plain" @click="play(index)">▶ {{ times(segment) }}</button> <span>{{ segment.text }}</span>
          <span v-if="segment.confidence !== undefined" class="muted" title="Confidence">{{ Math.floor(segment.confidence * 100) }} %</span>
        </li>
      </ol>
      <p v-if="segments.length" class="muted small"><button type="button" class="button plain" @click="step(-1)">Previous <kbd data-key=",">,</kbd></button> <button type="button" class="button plain" @click="step(1)">Next segment <kbd data-key=".">.</kbd></button></p>
    </figure>`,
  props: { src: String, segments: Array },
  data() {
    return { problem: "", duration: 0, current: null, until: null, url: this.src.startsWith("data:") ? this.src : "" };
  },
  async mounted() {
    this.resizeObserver = new ResizeObserver(() => this.draw());
    this.resizeObserver.observe(this.$refs.canvas);
    try {
      const response = await fetch(this.src);
      if (!response.ok) throw new Error((await response.json()).detail);
      const blob = await response.blob();
      if (!this.url) this.url = URL.createObjectURL(blob); // fetched once, and any part of it can be played
      const audio = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(await blob.arrayBuffer());
      this.duration = audio.duration;
      this.samples = audio.getChannelData(0);
      this.draw();
    } catch (error) {
      this.url = this.url || this.src;
      this.problem = "This browser can't draw the waveform: " + error.message;
    }
  },
  unmounted() {
    this.resizeObserver.disconnect();
    if (this.url.startsWith("blob:")) URL.revokeObjectURL(this.url);
  },
  methods: {
    draw() {
      const canvas = this.$refs.canvas;
      if (!this.samples || !canvas) return;
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      const style = getComputedStyle(canvas);
      const played = (this.$refs.audio.currentTime / this.duration) * width;
      const samplesPerPixel = this.samples.length / width;
      for (let x = 0; x < width; x += 2) {
        let peak = 0;
        const end = Math.min(this.samples.length, Math.ceil((x + 2) * samplesPerPixel));
        for (let i = Math.floor(x * samplesPerPixel); i < end; i += 1) peak = Math.max(peak, Math.abs(this.samples[i]));
        const half = Math.max(0.5, (peak * height) / 2);
        context.fillStyle = style.getPropertyValue(x < played ? "--accent" : "--muted");
        context.fillRect(x, height / 2 - half, 1.25, 2 * half);
      }
    },
    update() {
      const time = this.$refs.audio.currentTime;
      const index = this.segments.findIndex((segment) => segment.start <= time && time < segment.end);
      this.current = index < 0 ? null : index;
      this.draw();
    },
    seek(event) {
      this.until = null;
      if (this.duration) this.$refs.audio.currentTime = (event.offsetX / this.$refs.canvas.clientWidth) * this.duration;
    },
    play(index) {
      const audio = this.$refs.audio;
      audio.currentTime = this.segments[index].start;
      this.until = this.segments[index].end;
      const watch = () => {
        if (this.until === null) return;
        if (audio.currentTime >= this.until) audio.pause();
        else requestAnimationFrame(watch); // the browser's own events come four times a second only
      };
      audio.play().then(watch, () => (this.until = null));
    },
    step(by) {
      const time = this.$refs.audio?.currentTime ?? 0;
      const before = this.segments.filter((segment) => segment.start <= time).length - 1;
      this.play(Math.min(this.segments.length - 1, Math.max(0, this.current === null && by < 0 ? before : before + by)));
    },
    percent(seconds) {
      return (100 * seconds) / this.duration + "%";
    },
    times({ start, end }) {
      const text = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
      return `${text(start)}–${text(end)}`;
    },
  },
};
