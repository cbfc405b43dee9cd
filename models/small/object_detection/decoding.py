"""From the network's maps to boxes: candidates, non-maximum suppression, confidence. Only numpy."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.object_detection.boxes import Floats, kept
from models.small.object_detection.images import SIDE, Geometry

MIN_SCORE = 0.35
"""The lowest score of a box in the output."""
MIN_CANDIDATE_SCORE = 0.05
"""The lowest score of a possible object: it lowers the confidence in the whole."""
MAX_CANDIDATES = 100
MAX_BOXES = 50
SAME_OBJECT_IOU = 0.5
"""Boxes that overlap more than this (intersection over union) are one object."""


@dataclass(frozen=True)
class Candidates:
    """What may be an object in one scene, best first: `boxes` (n, 4), `scores` (n, classes), `cells` (n,), row by row.

    A candidate is as good as its best class. Boxes are in pixels of the square, or of the picture (`placed`).
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    cells: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The best class of each, (n,)."""
        return np.asarray(self.scores.argmax(axis=1))

    @property
    def best(self) -> NDArray[np.float64]:
        """The score of that class, (n,)."""
        return np.asarray(self.scores.max(axis=1))

    def placed(self, geometry: Geometry) -> Self:
        """Return them in pixels of the picture, rounded as in the output, without those outside it, at most 50."""
        boxes = np.round(geometry.to_picture(self.boxes), 2)
        inside = np.flatnonzero((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))[:MAX_BOXES]
        return type(self)(boxes[inside], self.scores[inside], self.cells[inside])


def candidates(scores: Floats, distances: Floats) -> list[Candidates]:
    """Find each scene's candidates: `scores` (batch, rows, columns, classes), `distances` (batch, rows, columns, 4)."""
    batch, rows, columns, classes = scores.shape
    every = scores.reshape(batch, -1, classes)
    best = every.max(axis=2)
    stride = SIDE / rows
    across, down = np.meshgrid((np.arange(columns) + 0.5) * stride, (np.arange(rows) + 0.5) * stride)
    points = np.stack([across, down], axis=-1).reshape(-1, 2)
    reach = distances.reshape(batch, -1, 4)
    found = []
    for scene in range(batch):
        cells = np.flatnonzero(best[scene] >= MIN_CANDIDATE_SCORE)
        if len(cells) > MAX_CANDIDATES:
            cells = cells[np.argsort(-best[scene, cells], kind="stable")[:MAX_CANDIDATES]]
        far = reach[scene, cells].astype(np.float64)
        boxes = np.concatenate([points[cells] - far[:, :2], points[cells] + far[:, 2:]], axis=1)
        keep = kept(boxes, best[scene, cells].astype(np.float64), SAME_OBJECT_IOU)
        found.append(Candidates(boxes[keep], every[scene, cells[keep]].astype(np.float64), cells[keep]))
    return found


def doubt(found: Candidates, choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (2,): the log probability that all emitted boxes are right, and that no object is missing.

    Candidates are treated as independent. `choices` (n,) are the emitted classes, or the number of classes for none.
    """
    clipped = np.clip(found.scores, 1e-6, 1 - 1e-6)
    emitted = np.flatnonzero(choices < found.scores.shape[1])
    omitted = np.delete(clipped, emitted, axis=0)
    return np.array([np.log(clipped[emitted, choices[emitted]]).sum(), np.log1p(-omitted.max(axis=1)).sum()])


def confidence(doubts: NDArray[np.float64], certainty: NDArray[Any]) -> float:
    """Return the probability that the whole is right: a logistic regression of `doubt`, fitted on validation scenes.

    `certainty` (3,) are its offset and the two slopes.
    """
    logit = float(certainty[0]) + float(np.dot(certainty[1:].astype(np.float64), doubts))
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))
