"""From colours to grey levels in which what is drawn can still be seen."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MIN_CONTRAST = 20
"""Grey levels between paper and ink below which an image is blank."""
_FAINTEST_SHARE = 0.002  # the darkest and lightest pixels that don't set the contrast: specks and noise


def to_grey(image: Image.Image) -> Image.Image:
    """Return the luminance, or the colour that shows more if that shows little: red on green of equal luminance."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    colours = image if image.mode == "P" else image.convert("RGB")
    grey = colours.convert("L") if image.mode in ("P", "CMYK") else image.convert("L")
    contrast = _contrast(grey)
    if contrast >= 2 * MIN_CONTRAST:
        return grey
    strongest = max(colours.convert("RGB").split(), key=_contrast)
    return strongest if _contrast(strongest) >= 2 * max(contrast, MIN_CONTRAST) else grey


def extreme_levels(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return the darkest and the lightest level of a histogram, without the few pixels that are specks and noise."""
    total = counts.cumsum()
    share = total[-1] * _FAINTEST_SHARE
    return int(np.searchsorted(total, share)), int(np.searchsorted(total, total[-1] - share))


def _contrast(grey: Image.Image) -> int:
    dark, light = extreme_levels(np.asarray(grey.histogram(), dtype=np.int64))
    return light - dark
