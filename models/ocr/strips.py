"""Pictures of a single line, for which looking for lines costs time and may find only a part."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.ocr import rectangles

MAX_STRIP_HEIGHT = 32
"""A picture of at most so many rows has no room for two lines that can be read."""
MAX_LINE_HEIGHT = 160
"""A picture of more rows is a page, even if only one line is found on it."""

Rectangles = list[NDArray[np.float64]]


def whole_line(page: NDArray[np.uint8], find: Callable[[NDArray[np.uint8]], Rectangles]) -> Rectangles:
    """Return the rectangles of a page's lines; of a picture of one line, that of the whole picture.

    Without rows above and below the line, if they are more than half of the picture.
    """
    height, width = page.shape
    if height <= MAX_STRIP_HEIGHT:
        return [rectangles.level(0, 0, width, height)]
    found = find(page)
    if height > MAX_LINE_HEIGHT or not _are_one_row(found):
        return found
    top = max(0.0, min((line[:, 1].min() for line in found), default=0.0))
    bottom = min(float(height), max((line[:, 1].max() for line in found), default=height))
    whole = bottom - top > height / 2
    return [rectangles.level(0, 0, width, height) if whole else rectangles.level(0, top, width, bottom)]


def _are_one_row(found: Rectangles) -> bool:
    """Return whether no two rectangles are one above the other."""
    spans = [(line[:, 1].min(), line[:, 1].max()) for line in found]
    return all(
        min(below, other_below) - max(above, other_above) > 0.5 * min(below - above, other_below - other_above)
        for above, below in spans
        for other_above, other_below in spans
    )
