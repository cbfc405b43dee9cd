// A sound: the browser's own player, and its waveform, which can be clicked into.
export default {
  template: `
    <figure class="sound">
      <canvas ref="canvas" class="wave" @click="seek" aria-label="Waveform"></canvas>
      <audio ref="audio" :src="src" controls preload="auto" @timeupdate="draw" @seeked="draw"></audio>
      <figcaption v-if="trouble" class="warn small">{{ trouble }}</figcaption>
    </figure>`,
  props: { src: String },
  data() {
    return { trouble: "" };
  },
  async mounted() {
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.$refs.canvas);
    try {
      const bytes = await (await fetch(this.src)).arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
      this.samples = sound.getChannelData(0);
      this.draw();
    } catch (error) {
      this.trouble = "This browser can't draw the sound: " + error.message;
    }
  },
  unmounted() {
    this.sized.disconnect();
  },
  methods: {
    draw() {
      const canvas = this.$refs.canvas;
      if (!this.samples || !canvas) return;
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const paper = canvas.getContext("2d");
      paper.scale(ratio, ratio);
      const style = getComputedStyle(canvas);
      const { currentTime, duration } = this.$refs.audio;
      const played = duration ? (currentTime / duration) * width : 0;
      const per = this.samples.length / width;
      for (let x = 0; x < width; x += 2) {
        let most = 0;
        const end = Math.min(this.samples.length, Math.ceil((x + 2) * per));
        for (let at = Math.floor(x * per); at < end; at += 1) most = Math.max(most, Math.abs(this.samples[at]));
        const half = Math.max(0.5, (most * height) / 2);
        paper.fillStyle = style.getPropertyValue(x < played ? "--accent" : "--muted");
        paper.fillRect(x, height / 2 - half, 1.25, 2 * half);
      }
    },
    seek(event) {
      const audio = this.$refs.audio;
      if (audio.duration) audio.currentTime = (event.offsetX / this.$refs.canvas.clientWidth) * audio.duration;
    },
  },
};
