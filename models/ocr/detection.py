"""Find lines of text in a page: by a network that gives each pixel its probability of lying in the core of a line.

The cores are the connected regions of probable pixels, each grown to the line around it (Liao et al., "Real-time scene
text detection with differentiable binarization", AAAI 2020, section 3.3).
"""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.ocr.rectangles import Floats, grown, in_reading_direction, size, smallest_rectangle

MAX_PIXELS = 1_500_000
"""Of what the network sees; larger pages are made smaller for it, the lines are read from the page as it is."""
MIN_PIXELS = 500_000
MAX_ENLARGEMENT = 2.0
"""Small pictures are made larger, for small letters."""
MAX_LINES = 1_000
"""Of a page."""
_STEP = 32  # the sides of what the network takes are multiples
_PROBABLE = 0.3
_MIN_SCORE = 0.5  # the least mean probability of a line's pixels
_MIN_CORE = 3  # pixels across
_GROWTH = 1.6  # of a core, as a share of its area over its circumference
_EIGHT_NEIGHBOURS = np.ones((3, 3))


class Detector:
    """The network: (1, 3, height, width) from -1 to 1 to probabilities (1, 1, height, width)."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def find(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """Return the rectangle of each line of a page (height, width), in its pixels; it may reach beyond the page.

        A page that lies on its side is turned for the network, which separates level lines better.
        """
        found = self._find(page)
        along = sum((np.abs(line[1] - line[0]) for line in found), np.zeros(2))
        if along[1] <= along[0]:
            return found
        lines = self._find(np.ascontiguousarray(np.rot90(page, -1)))
        return [np.stack((line[:, 1], page.shape[0] - line[:, 0]), axis=1) for line in lines]

    def _find(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        height, width = page.shape
        scale = _scale(height * width)
        seen = max(_STEP, round(width * scale / _STEP) * _STEP), max(_STEP, round(height * scale / _STEP) * _STEP)
        levels = np.asarray(Image.fromarray(page).resize(seen, Image.Resampling.BILINEAR), np.float32)
        feed = np.broadcast_to(levels / 127.5 - 1, (1, 3, *levels.shape))
        [probabilities] = self._session.run(None, {self._input: np.ascontiguousarray(feed)})
        factors = np.array([width / seen[0], height / seen[1]])
        return [line * factors for line in find_lines(probabilities[0, 0])]


def find_lines(probabilities: Floats) -> list[NDArray[np.float64]]:
    """Return the rectangle of each line, given the probability of each pixel (height, width)."""
    labels, _ = ndimage.label(probabilities > _PROBABLE, _EIGHT_NEIGHBOURS)
    lines = []
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        core = labels[window] == number
        if min(core.shape) < _MIN_CORE or probabilities[window][core].mean() < _MIN_SCORE:
            continue
        rectangle = smallest_rectangle(_outline(core)) + np.array([window[1].start, window[0].start])
        length, height = size(rectangle)
        if min(length, height) >= _MIN_CORE:
            margin = _GROWTH * length * height / (2 * (length + height))
            lines.append(in_reading_direction(grown(rectangle, margin)))
    return lines[:MAX_LINES]


def _outline(core: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the corners (n, 2) of the first and the last pixel of each row."""
    rows = np.flatnonzero(core.any(axis=1))
    first = core[rows].argmax(axis=1)
    last = core.shape[1] - core[rows, ::-1].argmax(axis=1)
    edges = np.concatenate((first, last, first, last))
    corners = np.stack((edges, np.concatenate((rows, rows, rows + 1, rows + 1))), axis=1)
    return np.asarray(corners, np.float64)


def _scale(pixels: int) -> float:
    if pixels > MAX_PIXELS:
        return float((MAX_PIXELS / pixels) ** 0.5)
    return float(np.clip((MIN_PIXELS / pixels) ** 0.5, 1.0, MAX_ENLARGEMENT))
