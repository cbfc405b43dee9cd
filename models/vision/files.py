"""From the bytes of a PNG or JPEG file to an upright, opaque picture, bounded before anything is decoded."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from models.base import Rejected
from models.vision.headers import image_size

_EXIF_ORIENTATION = 0x0112


def read_upright(payload: bytes, check_size: Callable[[int, int], None]) -> Image.Image:
    """The file fully decoded, in its own mode, turned as its EXIF orientation says.

    `check_size(width, height)` raises `Rejected` for sizes that aren't wanted; it is asked before pixels are decoded.
    Raises `Rejected`: its own, those of `image_size`, `truncated`, `broken`.
    """
    check_size(*image_size(payload))
    try:
        image: Image.Image = Image.open(BytesIO(payload), formats=("PNG", "JPEG"))
        check_size(*image.size)
        image.load()
    except Rejected:
        raise
    except Exception as error:  # a decoder fed with damaged data raises almost anything
        raise _unreadable(error) from error
    if _EXIF_ORIENTATION in image.getexif():
        image = ImageOps.exif_transpose(image)
    return image


def check_pixels(width: int, height: int, most: int) -> None:
    """Raises `Rejected`: `broken` for an image without pixels, `too_many_pixels` for one with more than `most`."""
    if width < 1 or height < 1:
        raise Rejected("broken", f"the image file is damaged: it declares {width} x {height} pixels")
    if width * height > most:
        raise Rejected("too_many_pixels", f"{width} x {height} pixels: at most {most:,} are read; send it smaller")


def opaque(image: Image.Image) -> Image.Image:
    """Transparent pixels on white, 16-bit depths scaled down to 8 bits; other images as they are."""
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
