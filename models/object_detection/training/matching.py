"""Which anchors see which objects: the matching of SSD (Liu et al., "SSD: Single shot multibox detector", 2016)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.adapters.linear_layer import Floats
from models.object_detection.boxes import overlaps
from models.object_detection.training.network import Anchors

MATCHED_IOU = 0.5
NOTHING = -1
"""The label of an anchor that sees no object."""


class Matches(NamedTuple):
    """What each anchor sees: `labels` int8 (anchors,), and where its edges are, `edges` float32 (anchors, 4)."""

    labels: NDArray[np.int8]
    edges: Floats


def matches(anchors: Anchors, boxes: Floats, labels: Sequence[int]) -> Matches:
    """Match anchors with objects, boxes (n, 4) as shares of the picture.

    An anchor sees the object that it overlaps most, if that is by `MATCHED_IOU`; an object is also seen by the anchor
    that overlaps it most.
    """
    count = len(anchors.centres)
    if not len(labels):
        return Matches(np.full(count, NOTHING, np.int8), np.zeros((count, 4), np.float32))
    alike = overlaps(anchors.corners(), boxes)
    best, most = alike.argmax(axis=1), alike.max(axis=1)
    nearest = alike.argmax(axis=0)
    best[nearest], most[nearest] = np.arange(len(labels)), 1.0
    seen = most >= MATCHED_IOU
    edges = np.where(seen[:, None], anchors.encoded(np.asarray(boxes, np.float32)[best]), 0.0).astype(np.float32)
    return Matches(np.where(seen, np.array(labels)[best], NOTHING).astype(np.int8), edges)
