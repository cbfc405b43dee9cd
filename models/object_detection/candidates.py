"""What may be an object in a picture, and how sure a detector is of the whole. Only numpy."""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

MIN_SCORE = 0.35
"""The lowest score of a box in the output."""
MIN_CANDIDATE_SCORE = 0.05
"""The lowest score of a possible object: it lowers the confidence in the whole."""
MAX_BOXES = 50


class Placement(Protocol):
    """Where a picture lies in what the network sees."""

    def to_picture(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes (n, 4) in the network's pixels, in the picture's, cut at its edges."""


@dataclass(frozen=True)
class Candidates:
    """What may be an object in one picture, best first: `boxes` (n, 4), `scores` (n, classes), and `cells` (n,).

    A candidate is as good as its best class. Boxes are in pixels of what the network sees, or of the picture: see
    `placed`.
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

    def placed(self, placement: Placement) -> Self:
        """Return them in pixels of the picture, rounded as in the output, without those outside it, at most 50."""
        boxes = np.round(placement.to_picture(self.boxes), 2)
        inside = np.flatnonzero((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))[:MAX_BOXES]
        return type(self)(boxes[inside], self.scores[inside], self.cells[inside])


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
