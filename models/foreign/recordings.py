"""From the bytes of an audio file to samples for a foreign model."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from models.audio.chunks import joined
from models.audio.files import RATE, read_audio
from models.base import Features, Rejected


class FromAudio:
    """The part of a task that reads audio files. Derive from it before a kind of task.

    Features: `samples` int16 (samples,), at 16 kHz. Recordings of equal length share a batch: a model without a mask
    would hear the silence that pads the others.
    """

    max_seconds: ClassVar[int] = 60
    min_seconds: ClassVar[float] = 0.5
    """A shorter recording is filled with silence: convolutions need something to work on."""
    max_payload_bytes: ClassVar[int] = 16 * 1024 * 1024

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Return the file of a live session. Raises `Rejected`."""
        return joined(chunks)

    def preprocess(self, payload: bytes) -> Features:
        """Return the samples. Raises `Rejected`: `too_long`, and as `models.audio.files.read_audio`."""
        samples = read_audio(payload)
        if len(samples) > self.max_seconds * RATE:
            seconds = len(samples) / RATE
            raise Rejected("too_long", f"{seconds:.0f} s: at most {self.max_seconds} s are taken; send it in parts")
        samples = np.pad(samples, (0, max(0, round(self.min_seconds * RATE) - len(samples))))
        return {"samples": np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)}
