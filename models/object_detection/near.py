"""The key that tells another copy of a photograph from one in which an object moved, came or left."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.vision.near import as_key, exact, small_grid

SIDE = 64
BOUND = 4
"""In grey levels. Copies by other encoders differed by 5 at most; photographs with one more object of 3 % of the side
by 5 at least, of 5 % by 12, and frames that a camera took one pixel further by 8 (see docs/learning.md)."""


def near_key(features: Features) -> NDArray[np.uint8]:
    """Return the grey levels of a small square, and the size of the picture, for boxes are in its pixels."""
    grid = small_grid(Image.fromarray(features["image"]), SIDE, SIDE)
    return np.concatenate([as_key(grid).ravel(), exact(*features["size"].tolist())])
