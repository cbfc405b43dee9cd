"""Audio files of many formats, written by libsndfile or FFmpeg."""

from io import BytesIO
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_BLOCK = 4_096


class _Pipe:
    """What can't seek: headers are never completed."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, part: bytes) -> int:
        self.written += bytes(part)
        return len(part)


def by_libsndfile(samples: NDArray[np.float32], rate: int, kind: str, subtype: str, endian: str | None = None) -> bytes:
    """Return the file of samples (frames,) or (frames, channels)."""
    samples = samples if samples.ndim == 2 else samples[:, None]
    buffer = BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, samples.shape[1], subtype, endian, kind) as file:
        for start in range(0, len(samples), _BLOCK):  # Vorbis takes no more at once
            file.write(samples[start : start + _BLOCK])
    return buffer.getvalue()


def by_ffmpeg(
    samples: NDArray[np.float32], rate: int, container: str, codec: str, pipe: bool = False, streams: int = 1
) -> bytes:
    """Return the file of samples (frames,) or (frames, channels), written to a pipe or to a file that can be sought."""
    samples = samples if samples.ndim == 2 else samples[:, None]
    target: Any = _Pipe() if pipe else BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov"} if pipe and container == "mp4" else {}
    with av.open(target, "w", format=container, options=options) as file:
        written: list[Any] = [
            file.add_stream(codec, rate=rate, layout=LAYOUTS[samples.shape[1]]) for _ in range(streams)
        ]
        for stream in written:
            if codec.startswith("wma"):  # it has no default
                stream.bit_rate = 64_000 * samples.shape[1]
            stream.codec_context.open()
        for stream in written:
            encode(file, stream, samples)
    return bytes(target.written) if pipe else bytes(target.getvalue())


def encode(file: Any, stream: Any, samples: NDArray[np.float32]) -> None:
    codec = stream.codec_context
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=codec.layout.name)
    frame.sample_rate, frame.pts = codec.sample_rate, 0
    resampler = av.AudioResampler(codec.format, codec.layout, codec.sample_rate, frame_size=codec.frame_size or _BLOCK)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        file.mux(stream.encode(part))
    file.mux(stream.encode(None))
