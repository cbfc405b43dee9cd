"""The key that tells another copy of a photograph from one in which an object moved, came or left."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.vision.near import as_key, exact, small_grid

SIDE = 48
BOUND = 6
"""In grey levels. Copies by other encoders differed by 3 at most; photographs without one object, or with one more of
8 % of the side, by 41 at least (see docs/learning.md)."""


def near_key(features: Features) -> NDArray[np.uint8]:
    """Return the grey levels of a small square, and the size of the picture, for boxes are in its pixels."""
    grid = small_grid(Image.fromarray(features["image"]), SIDE, SIDE)
    return np.concatenate([as_key(grid).ravel(), exact(*features["size"].tolist())])
