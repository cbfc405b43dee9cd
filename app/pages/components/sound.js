// An audio player: the browser's own player with a waveform. A click on the waveform seeks.
export default {
  template: `
    <figure class="sound">
      <canvas ref="canvas" class="wave" @click="seek" aria-label="Waveform"></canvas>
      <audio ref="audio" :src="src" controls preload="auto" @timeupdate="draw" @seeked="draw"></audio>
      <figcaption v-if="problem" class="warn small">{{ problem }}</figcaption>
    </figure>`,
  props: { src: String },
  data() {
    return { problem: "" };
  },
  async mounted() {
    this.resizeObserver = new ResizeObserver(() => this.draw());
    this.resizeObserver.observe(this.$refs.canvas);
    try {
      const bytes = await (await fetch(this.src)).arrayBuffer();
      const audio = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
      this.samples = audio.getChannelData(0);
      this.draw();
    } catch (error) {
      this.problem = "This browser can't draw the waveform: " + error.message;
    }
  },
  unmounted() {
    this.resizeObserver.disconnect();
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
      const { currentTime, duration } = this.$refs.audio;
      const played = duration ? (currentTime / duration) * width : 0;
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
    seek(event) {
      const audio = this.$refs.audio;
      if (audio.duration) audio.currentTime = (event.offsetX / this.$refs.canvas.clientWidth) * audio.duration;
    },
  },
};
