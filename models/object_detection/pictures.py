"""From the bytes of an image file to the small picture that the network sees, and back for boxes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.vision.files import read_upright

LONG_SIDE = 416
"""Of the small picture, pixels: the network was trained with it."""
MIN_CONTRAST = 16
"""Levels of a colour between the darkest and the lightest pixel, below which a picture has no content."""


class Scale(NamedTuple):
    """How large a picture is as the network sees it, without its padding, and as it is displayed."""

    small_width: int
    small_height: int
    width: int
    height: int

    def to_picture(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes (n, 4) in the network's pixels, in the picture's, cut at its edges."""
        across, down = self.width / self.small_width, self.height / self.small_height
        placed = boxes * np.array([across, down, across, down])
        return np.asarray(np.clip(placed, 0.0, np.array([self.width, self.height] * 2, np.float64)))


def features_of(payload: bytes) -> Features:
    """Return a file's picture, `image`, 416 pixels on its longer side, and its width and height, `size`.

    Raises `Rejected`.
    """
    picture = read_upright(payload)
    factor = LONG_SIDE / max(picture.width, picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    small = picture.image.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return {"image": np.asarray(small), "size": np.array([picture.width, picture.height], np.int32)}


def scale_of(features: Features) -> Scale:
    """Return the scale of a picture."""
    height, width = features["image"].shape[:2]
    return Scale(width, height, *features["size"].tolist())


def has_content(features: Features) -> bool:
    """Return whether anything can be told apart in the picture: a lens cap, for instance, shows nothing."""
    return int(np.ptp(features["image"], axis=(0, 1)).max()) >= MIN_CONTRAST
