"""Picture files that lack their last bytes: those whose pixels are there, or mostly there, are read.

The pixels that a decoder has not written keep one grey, and take the value of the last one above them.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from models.vision.refusals import truncated

MAX_MISSING = 0.1
"""The share of its pixels that a cut file may lack."""
UNWRITTEN = 128
"""The grey of pixels without data: that of a JPEG decoder (ITU-T T.81: all coefficients are 0)."""


def load_cut(open_again: Callable[[], Image.Image]) -> Image.Image:
    """Decode a PNG or BMP file that ends early as far as it goes. Raises `Rejected`: `truncated`."""
    image = open_again()
    if image.mode == "1" or image.info.get("interlace"):  # of these it isn't known which pixels are there
        raise truncated()
    image.im = Image.new(image.mode, image.size, (UNWRITTEN,) * len(image.getbands())).im
    bottom_up = image.format == "BMP" and image.tile[0].args[-1] == -1  # type: ignore[attr-defined]  # an ImageFile
    try:
        image.load()
    except OSError:
        image.tile = []  # type: ignore[attr-defined]  # nothing more is to be decoded
    return fill_missing(image, bottom_up)


def fill_missing(image: Image.Image, bottom_up: bool = False) -> Image.Image:
    """Fill the pixels at the end that were not written. Raises `Rejected`: `truncated` if they are too many."""
    whole = np.array(image)
    pixels = whole[::-1] if bottom_up else whole
    written = np.abs(pixels.astype(np.int32) - UNWRITTEN) > 1
    written = written.any(axis=2) if written.ndim == 3 else written
    missing = ~np.maximum.accumulate(written[::-1], axis=0)[::-1]
    if missing.mean() > MAX_MISSING:
        raise truncated()
    rows, columns = np.nonzero(missing)
    last = np.maximum(len(pixels) - 1 - missing.sum(axis=0), 0)
    pixels[rows, columns] = pixels[last[columns], columns]
    image.frombytes(whole.tobytes())
    return image
