"""From the bytes of a PNG or JPEG file to the small square picture that the network sees, and back for boxes."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.vision.files import check_pixels, opaque, read_upright

SAMPLES = Path(__file__).parent / "samples"
SIDE = 128
"""Of the square, pixels."""
MAX_PIXELS = 16_000_000
"""Of a file: what a phone's camera takes, and no more memory than that."""
PADDING_GREY = 128  # grey beside the picture


def read_picture(payload: bytes) -> Image.Image:
    """Return the file fully decoded, upright (EXIF orientation), in RGB, transparency on white. Raises `Rejected`."""
    return opaque(read_upright(payload, _check_size)).convert("RGB")


def _check_size(width: int, height: int) -> None:
    check_pixels(width, height, MAX_PIXELS)


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
    square, geometry = fitted_to_square(read_picture(payload))
    return {"image": square, "geometry": geometry.array()}


def fitted_to_square(picture: Image.Image) -> tuple[NDArray[np.uint8], Geometry]:
    """Return the picture in the square, uint8 (128, 128, 3) with grey beside it, and where it lies there."""
    geometry = Geometry.of(*picture.size)
    size = (geometry.right - geometry.left, geometry.bottom - geometry.top)
    square = np.full((SIDE, SIDE, 3), PADDING_GREY, np.uint8)
    small = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    square[geometry.top : geometry.bottom, geometry.left : geometry.right] = np.asarray(small)
    return square, geometry
