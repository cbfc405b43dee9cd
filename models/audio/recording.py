"""A recording that a decoder has opened, and the bounds of the work that decoding it may take."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

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

    `frames` is the length that it declares, None if it declares none. `cost` is how many samples of `MAX_SAMPLES` one
    sample of this `encoding` counts for. `blocks` decodes: float32 (n, channels); it raises `Rejected`: `truncated`,
    `broken`.
    """

    rate: int
    channels: int
    frames: int | None
    encoding: str
    cost: int
    blocks: Iterator[Samples]

    def check_header(self) -> None:
        """Raise `Rejected` for more work than is taken: `too_many_channels`, `bad_rate`, and as `check_length`."""
        if self.channels > MAX_CHANNELS:
            raise Rejected("too_many_channels", f"{self.channels} channels: at most {MAX_CHANNELS} are taken")
        if not RATES[0] <= self.rate <= RATES[1]:
            raise Rejected("bad_rate", f"{self.rate} samples a second: {RATES[0]} to {RATES[1]} are taken")
        self._check_length(self.frames or 0, "declares")

    def check_decoded(self, frames: int) -> None:
        """Raise `Rejected` if so many frames, of which more may follow, are too many: as `check_header`."""
        self._check_length(frames, "holds at least")

    def _check_length(self, frames: int, verb: str) -> None:
        if frames > MAX_SECONDS * self.rate:
            raise too_long(verb, frames / self.rate)
        most = MAX_SAMPLES // self.cost // self.channels
        if frames > most:
            raise Rejected(
                "too_many_samples",
                f"{frames:,} samples in each of {self.channels} channels: at most {most:,} are taken of "
                f"{self.encoding}; send it with a lower rate or fewer channels, or in parts",
            )


def truncated() -> Rejected:
    """Return the rejection of a file that ends too early."""
    return Rejected("truncated", "the audio file ends too early: send all of its bytes")


def broken(reason: str) -> Rejected:
    """Return the rejection of a file that a decoder gives up."""
    return Rejected("broken", f"the audio file is damaged, or cut: {reason}")


def too_long(verb: str, seconds: float) -> Rejected:
    """Return the rejection of a file that declares, or holds, more seconds than `MAX_SECONDS`."""
    return Rejected(
        "too_long",
        f"the audio file {verb} {ceil(seconds):,} s: at most {MAX_SECONDS} s are taken; send it in parts",
    )
