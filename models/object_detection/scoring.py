"""How good boxes are, given the true ones. Boxes are `{"box": [x0, y0, x1, y1], "label": ..., "score": ...}`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.object_detection.boxes import overlaps

FOUND = 0.5
"""The intersection over union from which on a box has found an object."""

Boxes = Sequence[Mapping[str, Any]]


def hits(said: Boxes, true: Boxes) -> NDArray[np.bool_]:
    """Which of the boxes found an object of their class, best first; each object is found once only, (n said,)."""
    found = np.zeros(len(said), bool)
    if not said or not true:
        return found
    quality = overlaps(np.array([one["box"] for one in said]), np.array([one["box"] for one in true]))
    quality[[[one["label"] != other["label"] for other in true] for one in said]] = 0.0
    for place in np.argsort([-one.get("score", 1.0) for one in said], kind="stable"):
        best = int(quality[place].argmax())
        if quality[place, best] >= FOUND:
            found[place] = True
            quality[:, best] = 0.0
    return found


def all_right(said: Boxes, true: Boxes) -> bool:
    """Whether every object was found, by intersection over union 0.5 and its class, and nothing else was said."""
    return len(said) == len(true) and bool(hits(said, true).all())


def mean_average_precision(said: Boxes, true: Boxes) -> float:
    """The mean, over the classes that are there or were said, of the average precision at 0.5; 1 if there are none.

    Average precision: the area under precision over recall, where precision at a recall is the best one at that
    recall or a higher one (as PASCAL VOC since 2010, without COCO's 101 points).
    """
    labels = {one["label"] for one in (*said, *true)}
    if not labels:
        return 1.0
    return float(np.mean([_average_precision(_of(said, label), _of(true, label)) for label in sorted(labels)]))


def _of(boxes: Boxes, label: str) -> list[Mapping[str, Any]]:
    chosen = [one for one in boxes if one["label"] == label]
    return sorted(chosen, key=lambda one: -one.get("score", 1.0))


def _average_precision(said: Boxes, true: Boxes) -> float:
    if not true or not said:
        return 0.0
    right = hits(said, true)
    precision = np.cumsum(right) / np.arange(1, len(said) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / len(true))
