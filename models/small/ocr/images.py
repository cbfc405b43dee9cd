"""From the bytes of an image file to the small image of a line that the network reads.

The network sees ink on an empty ground (255 is full ink, 0 is paper), cropped to the ink and 24 pixels high, whatever
the file's size, colours, margins and polarity. All heavy steps are single calls into Pillow: this runs for each event.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.base import Rejected
from models.vision.files import read_upright
from models.vision.grey import MIN_CONTRAST, extreme_levels, to_grey

HEIGHT = 24
MIN_WIDTH, MAX_WIDTH = 8, 1024
MAX_WIDTH_PER_HEIGHT = 100.0
MAX_HEIGHT_PER_WIDTH = 12.0

_INK = 96  # of 255: what counts as ink when the margins are cut
_CROP_DETAIL = 32  # the height at which ink is looked for: noise is averaged away, strokes stay
_MARGIN = 0.06  # of the ink's height, left around it


def read_image(payload: bytes) -> Image.Image:
    """Return the file fully decoded, upright and in grey (mode L). Raises `Rejected`."""
    image, width, height = read_upright(payload)
    if width > MAX_WIDTH_PER_HEIGHT * height or height > MAX_HEIGHT_PER_WIDTH * width:
        raise Rejected(
            "not_a_line",
            f"{width} x {height} pixels is not a line of text: it is at most {MAX_WIDTH_PER_HEIGHT:g} times as wide as "
            f"high and {MAX_HEIGHT_PER_WIDTH:g} times as high as wide",
        )
    return to_grey(image)


def normalise(grey: Image.Image) -> NDArray[np.uint8]:
    """Return the ink (24, width) of a grey image of any size; `MIN_WIDTH` empty columns if it is blank."""
    curve = _ink_curve(grey)
    if curve is None:
        return np.zeros((HEIGHT, MIN_WIDTH), np.uint8)
    ink = _with_flat_margins(grey.point(curve))
    left, top, right, bottom = _ink_box(ink)
    width = min(MAX_WIDTH, max(MIN_WIDTH, round((right - left) * HEIGHT / (bottom - top))))
    line = ink.resize((width, HEIGHT), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.asarray(line)


def has_content(ink: NDArray[np.uint8]) -> bool:
    """Return whether there is any ink in what `normalise` returned."""
    return bool(ink.any())


def _ink_curve(grey: Image.Image) -> list[int] | None:
    """Return for each grey level how much ink it is (0 to 255), or None if the image is blank.

    Paper is what most of the image's border shows: so light ink on a dark ground is read as well.
    """
    counts: NDArray[np.int64] = np.asarray(grey.histogram(), dtype=np.int64)
    dark, light = extreme_levels(counts)
    if light - dark < MIN_CONTRAST:
        return None
    middle = (dark + light) // 2
    pixels = np.asarray(grey)
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    on_light = 2 * np.count_nonzero(border > middle) >= border.size
    levels = np.arange(256)
    papers = counts * (levels > middle) if on_light else counts * (levels <= middle)
    weight = papers.cumsum()
    paper = int(np.searchsorted(weight, weight[-1] / 2))
    strongest = paper - dark if on_light else light - paper
    ink = (paper - levels if on_light else levels - paper) * (255.0 / max(1, strongest))
    curve: list[int] = np.clip(ink + 0.5, 0, 255).astype(np.uint8).tolist()
    return curve


def _with_flat_margins(ink: Image.Image) -> Image.Image:
    """Return the ink with empty rows above and below, if a long line is cropped so tightly that it is too flat."""
    rows = -(-(ink.width * HEIGHT // MAX_WIDTH - ink.height) // 2)
    return ImageOps.expand(ink, (0, rows)) if rows > 0 else ink


def _ink_box(ink: Image.Image) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of the ink with a small margin, in the image, not too flat for `MAX_WIDTH`."""
    factor = max(1, min(ink.height // _CROP_DETAIL, ink.width))
    small: Any = ink.reduce(factor) if factor > 1 else ink
    box = small.point([0] * _INK + [255] * (256 - _INK)).getbbox()
    if box is None:
        return 0.0, 0.0, float(ink.width), float(ink.height)
    left, top, right, bottom = (float(edge * factor) for edge in box)
    margin = max(1.0, _MARGIN * (bottom - top))
    left, right = max(0.0, left - 2 * margin), min(float(ink.width), right + 2 * margin)
    top, bottom = max(0.0, top - margin), min(float(ink.height), bottom + margin)
    missing = (right - left) * HEIGHT / MAX_WIDTH - (bottom - top)
    if missing > 0:
        top = max(0.0, min(top - missing / 2, ink.height - (bottom - top + missing)))
        bottom = min(float(ink.height), top + (right - left) * HEIGHT / MAX_WIDTH)
    return left, top, right, bottom
