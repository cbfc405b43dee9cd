"""Cut lines out of a page, upright and of the height that the networks take."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.ocr.rectangles import Floats, size

HEIGHT = 48
STRETCH = 1.15
"""Of the width: narrow print is read better, as measured."""
MIN_WIDTH, MAX_WIDTH = 16, 3_200
"""Longer lines are squeezed."""


def crop(page: Image.Image, rectangle: Floats, paper: int) -> NDArray[np.uint8]:
    """Return the line in a rectangle, uint8 (48, width); what lies beyond the page is `paper`."""
    length, height = size(rectangle)
    width = int(np.clip(round(STRETCH * length * HEIGHT / max(height, 1.0)), MIN_WIDTH, MAX_WIDTH))
    (left, top), (right, bottom) = rectangle[0].tolist(), rectangle[2].tolist()
    if rectangle[1, 1] == top and 0 <= left < right <= page.width and 0 <= top < bottom <= page.height:
        return np.asarray(page.resize((width, HEIGHT), Image.Resampling.BICUBIC, box=(left, top, right, bottom)))
    reduction = max(1, round(height / HEIGHT))  # an inclined line is drawn larger at first: no pixel is passed over
    across, down = reduction * width, reduction * HEIGHT
    step, row = (rectangle[1] - rectangle[0]) / across, (rectangle[3] - rectangle[0]) / down
    inverse = (step[0], row[0], left, step[1], row[1], top)
    drawn = page.transform((across, down), Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC, fillcolor=paper)
    return np.asarray(drawn.reduce(reduction) if reduction > 1 else drawn)


def paper_level(page: NDArray[np.uint8]) -> int:
    """Return the level of most of a page, from a sample of its pixels."""
    return int(np.median(page[::7, ::7]))


def turned(line: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a line that stood on its head."""
    return np.ascontiguousarray(line[::-1, ::-1])
