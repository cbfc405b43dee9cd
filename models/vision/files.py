"""From the bytes of a PNG or JPEG file to an upright, opaque picture, bounded before anything is decoded."""

import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from models.base import Rejected
from models.vision.headers import MAX_EXIF, image_size

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


def read_upright(payload: bytes, check_size: Callable[[int, int], None]) -> Image.Image:
    """Return the file fully decoded, in its own mode, turned as its EXIF orientation says; damaged EXIF is ignored.

    `check_size(width, height)` raises `Rejected` for sizes that aren't wanted; it is asked before pixels are decoded.
    Raises `Rejected`: its own, those of `image_size`, `truncated`, `broken`.
    """
    check_size(*image_size(payload))
    with warnings.catch_warnings():  # one for each damaged tag would fill the log
        warnings.simplefilter("ignore")
        try:
            image: Image.Image = Image.open(BytesIO(payload), formats=("PNG", "JPEG"))
            check_size(*image.size)
            image.load()
        except Rejected:
            raise
        except Exception as error:  # a decoder fed with damaged data raises almost anything
            raise _unreadable(error) from error
        turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Transpose | None:
    for name, most in (("exif", MAX_EXIF), ("Raw profile type exif", 3 * MAX_EXIF)):  # of a PNG; the latter in digits
        if len(image.info.get(name, "")) > most:
            return None
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # whatever damaged EXIF makes the parser raise: the pixels are sound
        return None


def check_pixels(width: int, height: int, most: int) -> None:
    """Raise `Rejected`: `broken` for an image without pixels, `too_many_pixels` for one with more than `most`."""
    if width < 1 or height < 1:
        raise Rejected("broken", f"the image file is damaged: it declares {width} x {height} pixels")
    if width * height > most:
        raise Rejected("too_many_pixels", f"{width} x {height} pixels: at most {most:,} are read; send it smaller")


def opaque(image: Image.Image) -> Image.Image:
    """Draw transparent pixels on white, 16-bit depths scaled down to 8 bits; other images as they are."""
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)
        return Image.fromarray(np.clip(levels / 257.0 + 0.5, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        ink = image.convert("RGBA")
        paper = Image.new("RGBA", ink.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, ink)
    return image


def _unreadable(error: Exception) -> Rejected:
    if "truncated" in str(error):
        return Rejected("truncated", "the image file ends too early: send all of its bytes")
    return Rejected("broken", f"the image file is damaged: {error}")
