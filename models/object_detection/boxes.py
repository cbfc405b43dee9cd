"""Boxes as arrays (n, 4) of left, top, right, bottom: how they overlap, and which of many to keep."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def overlaps(boxes: Floats, others: Floats) -> NDArray[np.float64]:
    """Return intersection over union of each box with each other one, (n, m); 0 for boxes without area."""
    a, b = np.asarray(boxes, np.float64)[:, None], np.asarray(others, np.float64)[None]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0)
    common = sides[..., 0] * sides[..., 1]
    union = _areas(a) + _areas(b) - common
    share: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return share


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides: NDArray[np.float64] = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(sides[..., 0] * sides[..., 1])


def kept(boxes: Floats, scores: Floats, max_overlap: float) -> NDArray[np.int64]:
    """Return the places of boxes that no better kept box overlaps by more than `most`, best first (NMS).

    Equal scores: the first place counts as better.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    clash = overlaps(ranked, ranked) > max_overlap
    keep = np.ones(len(order), bool)
    for place in range(len(order)):
        if keep[place]:
            keep[place + 1 :] &= ~clash[place, place + 1 :]
    return np.asarray(order[keep])
