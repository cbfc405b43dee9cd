"""From the network's best anchors to what may be an object. Only numpy.

The network says for each of 1,917 anchors (boxes of six sizes and six shapes all over the picture) how probable each
class is there, and where the object's edges are. The best are put out, batch first: `anchors` int64 (100,), which they
are; `scores` float32 (100, 80); `boxes` float32 (100, 4), left, top, right and bottom as shares of the picture's width
and height; `certainty` float32 (3,), see `models.object_detection.candidates.confidence`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.object_detection.boxes import kept
from models.object_detection.candidates import MIN_CANDIDATE_SCORE, Candidates

CLASSES, KEPT_ANCHORS = 80, 100
SAME_OBJECT_IOU = 0.6
"""Boxes of one class that overlap more than this (intersection over union) are one object, as in TensorFlow's code."""


def candidates(anchors: NDArray[np.int64], scores: NDArray[Any], boxes: NDArray[Any]) -> Candidates:
    """Return what may be an object in one picture; its boxes are shares of the width and height."""
    possible = np.flatnonzero(scores.max(axis=1) >= MIN_CANDIDATE_SCORE)
    keep = possible[_kept_of_each_class(boxes[possible], scores[possible])]
    return Candidates(boxes[keep].astype(np.float64), scores[keep].astype(np.float64), anchors[keep])


def _kept_of_each_class(boxes: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the places of boxes that no better one of the same class is the same object as, best first."""
    labels, best = scores.argmax(axis=1), scores.max(axis=1)
    reach = float(np.abs(boxes).max(initial=0.0))
    apart = boxes.astype(np.float64) + (labels * (2 * reach + 1))[:, None]  # those of different classes never overlap
    return kept(apart, best, SAME_OBJECT_IOU)
