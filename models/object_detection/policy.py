"""The detector as a policy: which of a scene's candidates it says, and with which probability it says just these.

Of a share of the traffic each candidate, apart from the others, is drawn: one of its classes, or nothing. So rewards
say something of what would not have been said, of what should not, and of other names for it. They say nothing of
where a box's edges are: these follow from the cell, and are learned from corrections alone. And what is no candidate
(of a score below `CONSIDERED`) is never said, so rewards can't teach it directly. Only numpy.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.object_detection.decoding import SAID, Candidates

_SMALLEST = float(np.finfo(np.float64).tiny)
"""A propensity is above 0; what is less probable than a float can say is said to be of this probability."""


class Served(NamedTuple):
    """What is said of each candidate, (n,), a class or the number of classes for nothing; and how probable that was."""

    choices: NDArray[np.int64]
    propensity: float


def probabilities(found: Candidates) -> NDArray[np.float64]:
    """Of each candidate's classes, and last of nothing, (n, classes + 1): the softmax of the logits of its cell, and 0.

    The logits are the calibrated ones, those of the scores.
    """
    scores = np.clip(found.scores, 1e-6, 1 - 1e-6)
    odds = np.concatenate([scores / (1 - scores), np.ones((len(scores), 1))], axis=1)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def greedy(found: Candidates) -> NDArray[np.int64]:
    """The best class of each candidate that is good enough."""
    return np.where(found.best >= SAID, found.labels, found.scores.shape[1])


def serve(found: Candidates, explore: float, rng: np.random.Generator | None) -> Served:
    """With the probability `explore` each candidate is drawn, else all are the greedy ones.

    Choices c are so served with the probability (1 - explore) * [c is greedy] + explore * prod(p(c_i)), whichever way
    they came about. Without exploration no chance is needed.
    """
    best = greedy(found)
    if not explore or rng is None:
        return Served(best, 1.0)
    chances = probabilities(found)
    choices = best
    if rng.random() < explore:
        passed = chances.cumsum(axis=1) < rng.random((len(chances), 1))
        choices = np.minimum(passed.sum(axis=1), chances.shape[1] - 1)
    drawn = float(np.prod(np.take_along_axis(chances, choices[:, None], axis=1)))
    propensity = (1 - explore) * np.array_equal(choices, best) + explore * drawn
    return Served(choices, min(1.0, max(_SMALLEST, propensity)))
