"""From the network's best cells to what may be an object. Only numpy.

The network sees a picture as cells of 8, 16 and 32 pixels. Of all of them it puts out the best, batch first: `cells`
int64 (256,), their places, row by row, the smallest cells first; `scores` float32 (256, 80), how probable each class is
there; `distances` float32 (256, 4), how far from its centre the left, upper, right and lower edge of the object are, in
widths of the cell; `certainty` float32 (3,), see `models.object_detection.candidates.confidence`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.object_detection.boxes import kept
from models.object_detection.candidates import MIN_CANDIDATE_SCORE, Candidates

CLASSES, KEPT_CELLS = 80, 256
STRIDES = (8, 16, 32)
STEP = STRIDES[-1]
"""The height and width of what the network sees are multiples of it."""
SAME_OBJECT_IOU = 0.6
"""Boxes of one class that overlap more than this (intersection over union) are one object, as in NanoDet's own code."""

Floats = NDArray[np.float32]


def candidates(cells: NDArray[np.int64], scores: Floats, distances: Floats, height: int, width: int) -> Candidates:
    """Return what may be an object in one picture that the network saw as `height` x `width` pixels."""
    best = scores.max(axis=1)
    possible = np.flatnonzero(best >= MIN_CANDIDATE_SCORE)
    centres, strides = _grid(height, width)
    near = cells[possible]
    reach = distances[possible].astype(np.float64) * strides[near, None]
    boxes = np.concatenate([centres[near] - reach[:, :2], centres[near] + reach[:, 2:]], axis=1)
    keep = _kept_of_each_class(boxes, scores[possible])
    return Candidates(boxes[keep], scores[possible][keep].astype(np.float64), near[keep])


def _kept_of_each_class(boxes: NDArray[np.float64], scores: Floats) -> NDArray[np.int64]:
    """Return the places of boxes that no better one of the same class is the same object as, best first."""
    labels, best = scores.argmax(axis=1), scores.max(axis=1)
    reach = float(np.abs(boxes).max(initial=0.0))
    apart = boxes + (labels * (2 * reach + 1))[:, None]  # so that boxes of different classes never overlap
    return kept(apart, best, SAME_OBJECT_IOU)


@lru_cache(maxsize=64)
def _grid(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres (n, 2) and the sizes (n,) of all cells."""
    centres, strides = [], []
    for stride in STRIDES:
        across, down = np.meshgrid(np.arange(width // stride) + 0.5, np.arange(height // stride) + 0.5)
        centres.append(np.stack([across, down], axis=-1).reshape(-1, 2) * stride)
        strides.append(np.full(across.size, float(stride)))
    return np.concatenate(centres), np.concatenate(strides)
