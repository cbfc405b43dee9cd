"""How good boxes are, given the true ones. Boxes are `{"box": [x0, y0, x1, y1], "label": ..., "score": ...}`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.object_detection.boxes import overlaps

FOUND_IOU = 0.5
"""The intersection over union from which on a box has found an object."""

Boxes = Sequence[Mapping[str, Any]]


def hits(predicted: Boxes, true: Boxes) -> NDArray[np.bool_]:
    """Return which boxes found an object of their class, best first, (n predicted,); each object counts once."""
    hit = np.zeros(len(predicted), bool)
    if not predicted or not true:
        return hit
    quality = overlaps(np.array([box["box"] for box in predicted]), np.array([box["box"] for box in true]))
    quality[[[box["label"] != other["label"] for other in true] for box in predicted]] = 0.0
    for place in np.argsort([-box.get("score", 1.0) for box in predicted], kind="stable"):
        best = int(quality[place].argmax())
        if quality[place, best] >= FOUND_IOU:
            hit[place] = True
            quality[:, best] = 0.0
    return hit


def all_right(predicted: Boxes, true: Boxes) -> bool:
    """Return whether every object was found (intersection over union 0.5, its class), and nothing else."""
    return len(predicted) == len(true) and bool(hits(predicted, true).all())


def mean_average_precision(predicted: Boxes, true: Boxes) -> float:
    """Return the average precision at 0.5, averaged over the classes present or predicted; 1 if there are none.

    Average precision: the area under precision over recall, where precision at a recall is the best one at that
    recall or a higher one (as PASCAL VOC since 2010, without COCO's 101 points).
    """
    labels = {box["label"] for box in (*predicted, *true)}
    if not labels:
        return 1.0
    return float(np.mean([_average_precision(_of(predicted, label), _of(true, label)) for label in sorted(labels)]))


def _of(boxes: Boxes, label: str) -> list[Mapping[str, Any]]:
    chosen = [box for box in boxes if box["label"] == label]
    return sorted(chosen, key=lambda box: -box.get("score", 1.0))


def _average_precision(predicted: Boxes, true: Boxes) -> float:
    if not true or not predicted:
        return 0.0
    right = hits(predicted, true)
    precision = np.cumsum(right) / np.arange(1, len(predicted) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / len(true))
