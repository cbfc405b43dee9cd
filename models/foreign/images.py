"""From the bytes of an image file to a picture of the size that a foreign model takes, and back for boxes."""

from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features, Rejected
from models.vision.files import read_upright

Resize = Literal["stretch", "pad", "crop", "line"]
MAX_RATIO = 100
"""Of a picture's sides, for lines of text."""


class Geometry(NamedTuple):
    """Where the picture lies in the model's: x there is x * x_scale + left. And how large it is itself."""

    x_scale: float
    y_scale: float
    left: float
    top: float
    width: float
    height: float

    def array(self) -> NDArray[np.float32]:
        """Return it as a tensor (6,)."""
        return np.array(self, np.float32)

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Self:
        """Return what `array` gave."""
        return cls(*array.tolist())

    def to_picture(self, boxes: NDArray[Any]) -> NDArray[np.float64]:
        """Return boxes (n, 4) of the model's picture in pixels of the file's, cut at its edges."""
        offsets, scales = [self.left, self.top] * 2, [self.x_scale, self.y_scale] * 2
        placed = (boxes.astype(np.float64) - offsets) / scales
        return np.asarray(np.clip(placed, 0.0, [self.width, self.height] * 2))


class FromImage:
    """The part of a task that reads image files. Derive from it before a kind of task, and say the size.

    Features: `image` uint8 (height, width, channels) and, for `decode` alone, `geometry` float32 (6,).
    """

    height: ClassVar[int]
    width: ClassVar[int]
    """Of lines the greatest width; they are padded to a multiple of `width_step`."""
    width_step: ClassVar[int] = 32
    resize: ClassVar[Resize] = "stretch"
    """`stretch` to the size; `pad`: as large as fits, in the middle; `crop`: the middle, after the shorter side has
    become `shorter`; `line`: as high as `height`, at the left."""
    shorter: ClassVar[int] = 0
    grey: ClassVar[bool] = False
    padding: ClassVar[int] = 114
    """The level of the pixels beside the picture."""
    max_payload_bytes: ClassVar[int] = 8 * 1024 * 1024

    def preprocess(self, payload: bytes) -> Features:
        """Return the picture in the model's size. Raises `Rejected`, see `models.vision.files.read_upright`."""
        picture = read_upright(payload)
        image = picture.image.convert("L" if self.grey else "RGB")
        pixels, geometry = self._placed(image, picture.width, picture.height)
        return {"image": pixels, "geometry": geometry.array()}

    def inputs(self, features: Features) -> Features:
        """Return the picture alone."""
        return {"image": features["image"]}

    def _placed(self, image: Image.Image, width: int, height: int) -> tuple[NDArray[np.uint8], Geometry]:
        across, down = self._resized(*image.size)
        small = image.resize((across, down), Image.Resampling.BILINEAR, reducing_gap=3.0)
        left, top, canvas = 0, 0, self.width
        if self.resize == "line":
            canvas = min(self.width, -(-across // self.width_step) * self.width_step)
        else:
            left, top = (self.width - across) // 2, (self.height - down) // 2
        placed = Image.new(small.mode, (canvas, self.height), (self.padding,) * len(small.getbands()))
        placed.paste(small, (left, top))
        pixels = np.asarray(placed, np.uint8).reshape(self.height, canvas, -1)
        return pixels, Geometry(across / width, down / height, left, top, width, height)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height that a picture gets."""
        match self.resize:
            case "stretch":
                return self.width, self.height
            case "line":
                if width > MAX_RATIO * height:
                    raise Rejected(
                        "not_a_line", f"{width} x {height} pixels: a line is at most {MAX_RATIO} times wider"
                    )
                return min(self.width, max(1, round(width * self.height / height))), self.height
            case "pad":
                scale = min(self.width / width, self.height / height)
            case "crop":
                scale = (self.shorter or min(self.width, self.height)) / min(width, height)
                if max(width, height) * scale > MAX_RATIO * max(self.width, self.height):
                    raise Rejected("too_narrow", f"{width} x {height} pixels: one side is too short to cut the middle")
        return max(1, round(width * scale)), max(1, round(height * scale))
