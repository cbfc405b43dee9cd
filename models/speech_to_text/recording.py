"""A recording that a decoder has opened, and the bounds of the work that decoding it may take."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import Rejected

MAX_SECONDS = 600
"""The longest audio of one request: ten minutes."""
MAX_CHANNELS = 8
RATES = (4_000, 384_000)
MAX_SAMPLES = MAX_SECONDS * 48_000 * 2
"""Of all channels together: ten minutes of stereo at 48 kHz. It bounds the work of decoding, which seconds don't."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A recording whose header is read.

    `frames` is the length that it declares, None if it declares none; it may have fewer by `missing`. `cost` is how
    many samples of `MAX_SAMPLES` one sample of this `encoding` counts for. `blocks` decodes: float32 (n, channels).
    """

    rate: int
    channels: int
    frames: int | None
    encoding: str
    cost: int
    blocks: Iterator[Samples]
    missing: int = 0

    def check_header(self) -> None:
        """Raise `Rejected` for more work than is taken: `too_many_channels`, `bad_rate`, and as `check_length`."""
        if self.channels > MAX_CHANNELS:
            raise Rejected("too_many_channels", f"{self.channels} channels: at most {MAX_CHANNELS} are taken")
        if not RATES[0] <= self.rate <= RATES[1]:
            raise Rejected("bad_rate", f"{self.rate} samples a second: {RATES[0]} to {RATES[1]} are taken")
        self.check_length(self.frames or 0)

    def check_length(self, frames: int) -> None:
        """Raise `Rejected` if so many frames are too many: `too_long`, `too_many_samples`."""
        if frames > MAX_SECONDS * self.rate:
            raise too_long(frames / self.rate)
        most = MAX_SAMPLES // self.cost // self.channels
        if frames > most:
            raise Rejected(
                "too_many_samples",
                f"{frames:,} samples in each of {self.channels} channels: at most {most:,} are taken of "
                f"{self.encoding}; send it with a lower rate or fewer channels, or in parts",
            )

    def check_end(self, frames: int) -> None:
        """Raise `Rejected` unless so many frames are all: `no_samples`, `truncated`."""
        if self.frames is not None and frames + self.missing < self.frames:
            raise truncated()
        if not frames:
            raise Rejected("no_samples", "the audio file holds no samples: send at least a word")


def truncated() -> Rejected:
    """Return the rejection of a file that ends too early."""
    return Rejected("truncated", "the audio file ends too early: send all of its bytes")


def broken(reason: str) -> Rejected:
    """Return the rejection of a file that a decoder gives up."""
    return Rejected("broken", f"the audio file is damaged, or cut: {reason}")


def too_long(seconds: float) -> Rejected:
    """Return the rejection of a file that is, or claims to be, longer than `MAX_SECONDS`."""
    return Rejected(
        "too_long",
        f"the file declares or holds {seconds:.0f} s of audio: at most {MAX_SECONDS} s are taken; send it in parts",
    )
