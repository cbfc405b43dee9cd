"""From the network's maps to boxes: peaks, non-maximum suppression, and how sure all of it is. Only numpy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.object_detection.boxes import Floats, kept
from models.object_detection.images import SIDE

SAID = 0.35
"""The least score of a box that is put out."""
CONSIDERED = 0.05
"""The least score of what may have been an object: it makes the whole less sure."""
MOST_CANDIDATES = 100
MOST_BOXES = 50
SAME = 0.5
"""Boxes that overlap more than this (intersection over union) are one object."""


@dataclass(frozen=True)
class Detections:
    """Of one scene, best first: `boxes` (n, 4) in pixels of the square, `labels` (n,), `scores` (n,)."""

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    doubt: NDArray[np.float64]
    """(2,): the log probability that all boxes are right, and that nothing was left out, as if each stood alone."""


def detections(scores: Floats, distances: Floats, least: float = SAID) -> list[Detections]:
    """Of each scene of a batch: `scores` (batch, rows, columns, classes), `distances` (batch, rows, columns, 4).

    A cell speaks for its best class only, and only boxes of score `least` and more are said.
    """
    batch, rows, columns, _ = scores.shape
    labels = scores.argmax(axis=3).reshape(batch, -1)
    best = np.take_along_axis(scores.reshape(batch, -1, scores.shape[3]), labels[..., None], axis=2)[..., 0]
    stride = SIDE / rows
    across, down = np.meshgrid((np.arange(columns) + 0.5) * stride, (np.arange(rows) + 0.5) * stride)
    points = np.stack([across, down], axis=-1).reshape(-1, 2)
    reach = distances.reshape(batch, -1, 4)
    found = []
    for scene in range(batch):
        cells = np.flatnonzero(best[scene] >= CONSIDERED)
        if len(cells) > MOST_CANDIDATES:
            cells = cells[np.argsort(-best[scene, cells], kind="stable")[:MOST_CANDIDATES]]
        sure = best[scene, cells].astype(np.float64)
        far = reach[scene, cells].astype(np.float64)
        boxes = np.concatenate([points[cells] - far[:, :2], points[cells] + far[:, 2:]], axis=1)
        keep = kept(boxes, sure, SAME)
        sure, boxes, classes = sure[keep], boxes[keep], labels[scene, cells[keep]]
        said = min(int(np.count_nonzero(sure >= least)), MOST_BOXES)
        clipped = np.clip(sure, 1e-6, 1 - 1e-6)
        doubt = np.array([np.log(clipped[:said]).sum(), np.log1p(-clipped[said:]).sum()])
        found.append(Detections(boxes[:said], classes[:said], sure[:said], doubt))
    return found


def confidence(doubt: NDArray[np.float64], certainty: NDArray[Any]) -> float:
    """The probability that the whole is right: a logistic regression of `Detections.doubt`, fitted on validation
    scenes; `certainty` (3,) are its offset and the two slopes.
    """
    logit = float(certainty[0]) + float(np.dot(certainty[1:].astype(np.float64), doubt))
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))
