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


def places_of_lines(page: NDArray[np.uint8], find: Callable[[NDArray[np.uint8]], Rectangles]) -> list[Rectangles]:
    """Return for each line of a page the rectangles where it may be, the one to try first in front.

    A picture of one line is tried as a whole, then without the rows above and below what was found: the whole shows
    faint and blurred ends that were not found, the part shows small print in a large picture better.
    """
    height, width = page.shape
    whole = rectangles.level(0, 0, width, height)
    if height <= MAX_STRIP_HEIGHT:
        return [[whole]]
    found = find(page)
    if height > MAX_LINE_HEIGHT or not _are_one_row(found):
        return [[line] for line in found]
    if not found:
        return [[whole]]
    top, bottom = min(line[:, 1].min() for line in found), max(line[:, 1].max() for line in found)
    return [[whole, rectangles.level(0, max(0.0, top), width, min(float(height), bottom))]]


def _are_one_row(found: Rectangles) -> bool:
    """Return whether no two rectangles are one above the other."""
    spans = [(line[:, 1].min(), line[:, 1].max()) for line in found]
    return all(
        min(below, other_below) - max(above, other_above) > 0.5 * min(below - above, other_below - other_above)
        for above, below in spans
        for other_above, other_below in spans
    )
