"""Pictures made so small, and so alike, that a picture and another copy of it differ in no pixel by much."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def small_grid(image: Image.Image, width: int, height: int) -> NDArray[np.float32]:
    """Return the grey levels of a picture that is stretched to a few pixels, each the mean of what it covers."""
    return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BILINEAR), np.float32)


def exact(*numbers: int) -> NDArray[np.uint8]:
    """Return values of a key that differ by 255 if the numbers differ at all."""
    bits = np.unpackbits(np.array(numbers, "<i4").view(np.uint8))
    return np.asarray(bits * np.uint8(255))


def as_key(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return rounded values from 0 to 255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
