"""Stretches of speech in a recording: the network's best path, split at pauses.

The network has learned what is speech and what is noise, so its own silence is what a recording is split at.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.small.speech_to_text.mel import FRAME_SECONDS
from models.small.speech_to_text.symbols import BLANK, SPACE

TIME_STRIDE = 2
"""Columns of the spectrogram in one frame of the network's output."""
SECONDS_PER_FRAME = FRAME_SECONDS * TIME_STRIDE
PAUSE_FRAMES = round(0.5 / SECONDS_PER_FRAME)
"""So many frames without a letter split a recording."""
MAX_STRETCH_FRAMES = round(20 / SECONDS_PER_FRAME)
"""Longer stretches are split at their longest gap between words: so no recording needs much memory."""
MARGIN_SECONDS = 0.1
"""A letter is written while it is heard, in the middle of its sound: seconds that are added before and after."""


@dataclass(frozen=True)
class Stretch:
    """Frames from `first` up to `last` are speech; those from `start` up to `stop` are decoded with it."""

    first: int
    last: int
    start: int
    stop: int

    def seconds(self) -> tuple[float, float]:
        """Return start and end in the recording; never within a neighbour's frames."""
        start, end = self.first * SECONDS_PER_FRAME - MARGIN_SECONDS, self.last * SECONDS_PER_FRAME + MARGIN_SECONDS
        return max(self.start * SECONDS_PER_FRAME, start), min(self.stop * SECONDS_PER_FRAME, end)


def stretches(best: NDArray[np.integer[Any]]) -> list[Stretch]:
    """Return the stretches of speech in a best path, classes (frames,), in order; all frames belong to one of them.

    Without any letter, one stretch without speech is returned.
    """
    letters = np.flatnonzero((best != BLANK) & (best != SPACE))
    if not len(letters):
        return [Stretch(0, 0, 0, len(best))]
    spaces = np.cumsum(best == SPACE)
    groups = [
        part
        for group in np.split(letters, np.flatnonzero(np.diff(letters) > PAUSE_FRAMES) + 1)
        for part in _short(group, spaces)
    ]
    cuts = [(int(before[-1]) + int(after[0]) + 1) // 2 for before, after in pairwise(groups)]
    return [
        Stretch(int(group[0]), int(group[-1]) + 1, start, stop)
        for group, start, stop in zip(groups, [0, *cuts], [*cuts, len(best)], strict=True)
    ]


def _short(letters: NDArray[np.int64], spaces: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the letters' frames in parts of at most `MAX_STRETCH_FRAMES` frames, split at a space if there is one."""
    parts, waiting = [], [letters]
    while waiting:
        part = waiting.pop()
        if part[-1] - part[0] < MAX_STRETCH_FRAMES:
            parts.append(part)
            continue
        between_words = spaces[part[1:]] > spaces[part[:-1]]
        at = int(np.argmax(np.diff(part) + len(spaces) * between_words)) + 1
        waiting += [part[at:], part[:at]]
    return parts
