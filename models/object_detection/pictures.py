"""From the bytes of an image file to the small square that the network sees, and back for boxes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.vision.files import read_upright

SIDE = 300
"""Of the square, pixels: the network was trained with pictures stretched to it, without smoothing."""
MIN_CONTRAST = 16
"""Levels of a colour between the darkest and the lightest pixel, below which a picture has no content."""


class Size(NamedTuple):
    """The width and height of a picture as it is displayed."""

    width: int
    height: int

    def to_picture(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes (n, 4) that are shares of the picture's width and height, in its pixels, cut at its edges."""
        return np.asarray(np.clip(boxes, 0.0, 1.0) * np.array([*self, *self], np.float64))


def features_of(payload: bytes) -> Features:
    """Return a file's picture, stretched to a small square, `image`, and its width and height, `size`.

    Raises `Rejected`.
    """
    picture = read_upright(payload)
    return {"image": squared(picture.image), "size": np.array([picture.width, picture.height], np.int32)}


def squared(image: Image.Image) -> NDArray[np.uint8]:
    """Return a picture stretched to the small square."""
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0))


def has_content(features: Features) -> bool:
    """Return whether anything can be told apart in the picture: a lens cap, for instance, shows nothing."""
    image = features["image"]
    contrasts = image.max(axis=0).max(axis=0) - image.min(axis=0).min(axis=0)  # in both axes at once takes 20 times
    return int(contrasts.max()) >= MIN_CONTRAST
