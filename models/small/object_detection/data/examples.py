"""Examples that the detector is fitted on: arrays of one length."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_OBJECTS = 16
"""Objects of a scene that count; the rest is left out."""


NO_OBJECT = -1
"""The label of a row without an object."""


@dataclass(frozen=True)
class Examples:
    """Scenes as the network sees them: `squares` uint8 (n, 128, 128, 3), `boxes` float32 (n, 16, 4) in pixels of the
    square, `labels` int32 (n, 16), -1 where there is no object.
    """

    squares: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
