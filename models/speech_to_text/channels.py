"""From the channels of a recording to one."""

import numpy as np
from numpy.typing import NDArray

from models.speech_to_text.recording import Samples

_CANCELLED = 0.1
"""Channels of different sounds average to a power of 1 by the measure of `Mixer`, n equal ones to n, opposite ones to 0."""


class Mixer:
    """Averages channels, or takes one, and measures whether their average has lost the sound.

    A microphone wired in opposition gives channels that cancel each other. The measure is the power of the average over
    that of channels which have nothing in common, sum(power) / n^2. Powers are of the differences from sample to sample,
    so that neither a constant nor a hum counts.
    """

    def __init__(self, channel: int | None = None) -> None:
        """Average the channels, or take the one that is given."""
        self._channel = channel
        self._powers: NDArray[np.float64] | None = None
        self._mixed_power = 0.0

    def mix(self, block: Samples) -> Samples:
        """Return one channel, (n,), of the next block, (n, channels)."""
        if self._channel is not None:
            return np.ascontiguousarray(block[:, self._channel])
        mono: Samples = block.mean(axis=1, dtype=np.float32)
        if block.shape[1] > 1:
            steps = np.diff(block, axis=0)
            powers = np.einsum("ij,ij->j", steps, steps, dtype=np.float64)
            self._powers = powers if self._powers is None else self._powers + powers
            self._mixed_power += float(np.square(np.diff(mono), dtype=np.float64).sum())
        return mono

    @property
    def strongest(self) -> int | None:
        """The channel that has the sound which the average of all has lost; None if it has not."""
        if self._powers is None or self._mixed_power * len(self._powers) ** 2 >= _CANCELLED * self._powers.sum():
            return None
        return int(self._powers.argmax())
