"""From the bytes of an image file to the small square picture that the network sees, and back for boxes."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.vision.files import Picture, read_upright

SAMPLES = Path(__file__).parent / "samples"
SIDE = 128
"""Of the square, pixels."""
PADDING_GREY = 128  # grey beside the picture
MIN_CONTRAST = 16
"""Levels of a colour between the darkest and the lightest pixel of the square, below which a picture has no content."""


def read_picture(payload: bytes) -> Picture:
    """Return the file fully decoded, upright (EXIF orientation), opaque, in RGB. Raises `Rejected`."""
    picture = read_upright(payload)
    return picture._replace(image=picture.image.convert("RGB"))


class Geometry(NamedTuple):
    """Where a picture lies in the square, in the square's pixels, and how large it is itself."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int) -> Self:
        """Return a picture as large as the square lets it be, in its middle."""
        scale = SIDE / max(width, height)
        across, down = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (SIDE - across) // 2, (SIDE - down) // 2
        return cls(left, top, left + across, top + down, width, height)

    @classmethod
    def from_array(cls, array: NDArray[np.int32]) -> Self:
        """Return what `array` gave."""
        return cls(*array.tolist())

    def array(self) -> NDArray[np.int32]:
        """Return it as a tensor (6,)."""
        return np.array(self, np.int32)

    def to_square(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes (n, 4) in the picture's pixels, in the square's."""
        return np.asarray(boxes * self._scales() + np.array([self.left, self.top] * 2))

    def to_picture(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes (n, 4) in the square's pixels, in the picture's, cut at its edges."""
        placed = (boxes - np.array([self.left, self.top] * 2)) / self._scales()
        return np.asarray(np.clip(placed, 0.0, np.array([self.width, self.height] * 2, np.float64)))

    def _scales(self) -> NDArray[np.float64]:
        return np.array([(self.right - self.left) / self.width, (self.bottom - self.top) / self.height] * 2)


def features_of(payload: bytes) -> Features:
    """Return a file's picture in a small square, `image`, and its place there, `geometry`. Raises `Rejected`."""
    picture = read_picture(payload)
    square, geometry = fitted_to_square(picture.image, (picture.width, picture.height))
    return {"image": square, "geometry": geometry.array()}


def has_content(features: Features) -> bool:
    """Return whether anything can be told apart in the picture: a lens cap, for instance, shows nothing."""
    left, top, right, bottom = features["geometry"][:4].tolist()
    picture = features["image"][top:bottom, left:right]
    return int(np.ptp(picture, axis=(0, 1)).max()) >= MIN_CONTRAST


def fitted_to_square(
    picture: Image.Image, full_size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], Geometry]:
    """Return the picture in the square, uint8 (128, 128, 3) with grey beside it, and where it lies there.

    `full_size` is that of the picture that boxes are in, if it was reduced.
    """
    geometry = Geometry.of(*full_size or picture.size)
    size = (geometry.right - geometry.left, geometry.bottom - geometry.top)
    square = np.full((SIDE, SIDE, 3), PADDING_GREY, np.uint8)
    small = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    square[geometry.top : geometry.bottom, geometry.left : geometry.right] = np.asarray(small)
    return square, geometry
