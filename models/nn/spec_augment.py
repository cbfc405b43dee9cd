"""Distort the lines that a CTC network is fitted to: SpecAugment (Park et al., Interspeech 2019).

Bands of columns and of rows are set to zero, so that a line is read from its context too, and few lines teach more.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMN_BANDS = 2
COLUMN_SHARE = 0.05
"""The widest band of columns, as a share of the line's width."""
ROW_SHARE = 0.15
"""The highest band of rows, as a share of the height. There is one."""


def masked(signal: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return a copy of a signal (height, width) with bands by chance set to zero."""
    height, width = signal.shape
    copy = signal.copy()
    for _ in range(COLUMN_BANDS):
        size = int(rng.integers(0, int(COLUMN_SHARE * width) + 1))
        start = int(rng.integers(0, width - size + 1))
        copy[:, start : start + size] = 0
    size = int(rng.integers(0, int(ROW_SHARE * height) + 1))
    start = int(rng.integers(0, height - size + 1))
    copy[start : start + size] = 0
    return copy
