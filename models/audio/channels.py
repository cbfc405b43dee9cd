"""From the channels of a recording to one."""

import numpy as np
from numpy.typing import NDArray

from models.audio.recording import Samples

_CANCELLED = 0.1
"""By the measure of `Mixer` channels of different sounds average to 1, n equal ones to n, and opposite ones to 0."""
_STEP_HERTZ = 4_000


class Mixer:
    """Averages channels, or takes one, and measures whether their average has lost the sound.

    A microphone wired in opposition gives channels that cancel each other. The measure is the power of the average over
    that of channels that have nothing in common, sum(powers) / n^2. Powers are those of speech: of the differences
    between means of 1/4000 s, so that no constant counts, and not the noise of a codec either.
    """

    def __init__(self, channel: int | None = None) -> None:
        """Average the channels, or take the one that is given."""
        self._channel = channel
        self._powers: NDArray[np.float64] | None = None
        self._mixed_power = 0.0

    def mix(self, block: Samples, rate: int) -> Samples:
        """Return one channel, (n,), of the next block, (n, channels), with so many frames a second."""
        if self._channel is not None:
            return np.ascontiguousarray(block[:, self._channel])
        mono: Samples = block.mean(axis=1, dtype=np.float32)
        if block.shape[1] > 1:
            self._measure(block, max(1, rate // _STEP_HERTZ))
        return mono

    def _measure(self, block: Samples, step: int) -> None:
        whole = block[: len(block) // step * step].reshape(-1, step, block.shape[1])
        differences = np.diff(whole.mean(axis=1, dtype=np.float64), axis=0)
        powers = np.square(differences).sum(axis=0)
        self._powers = powers if self._powers is None else self._powers + powers
        self._mixed_power += float(np.square(differences.mean(axis=1)).sum())

    @property
    def strongest(self) -> int | None:
        """The channel that has the sound which the average of all has lost; None if it has not."""
        if self._powers is None or self._mixed_power * len(self._powers) ** 2 >= _CANCELLED * self._powers.sum():
            return None
        return int(self._powers.argmax())
