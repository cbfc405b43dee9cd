"""The detector as a policy: which of a scene's candidates it emits, and with which probability.

For a share of the traffic each candidate is drawn independently: one of its classes, or no box. So rewards are observed
for boxes that the detector would not emit, for omitted ones, and for other labels. Rewards don't teach a box's edges:
these follow from the cell, and are learned from corrections alone. A box with a score below `MIN_CANDIDATE_SCORE` is
never emitted, so rewards can't teach it directly. Only numpy.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.nn.exploration import MIN_PROPENSITY
from models.object_detection.boxes import overlaps
from models.object_detection.candidates import MIN_SCORE, Candidates


class ServedChoices(NamedTuple):
    """The choice for each candidate, (n,), a class or the number of classes for no box; and its probability."""

    choices: NDArray[np.int64]
    propensity: float


def probabilities(found: Candidates) -> NDArray[np.float64]:
    """Return the probabilities of each candidate's classes, and last of no box, (n, classes + 1).

    They are the softmax of the logits of its cell, and 0.

    The logits are the calibrated ones, those of the scores.
    """
    scores = np.clip(found.scores, 1e-6, 1 - 1e-6)
    odds = np.concatenate([scores / (1 - scores), np.ones((len(scores), 1))], axis=1)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def greedy(found: Candidates) -> NDArray[np.int64]:
    """Return the best class of each candidate that is good enough."""
    return np.where(found.best >= MIN_SCORE, found.labels, found.scores.shape[1])


def serve(found: Candidates, explore: float, rng: np.random.Generator | None) -> ServedChoices:
    """Draw each candidate's class with the probability `explore`, otherwise choose greedily.

    Choices c are served with the probability (1 - explore) * [c is greedy] + explore * prod(p(c_i)), whichever way
    they were chosen. `rng` is needed for exploration only.
    """
    best = greedy(found)
    if not explore or rng is None:
        return ServedChoices(best, 1.0)
    chances = probabilities(found)
    choices = best
    if rng.random() < explore:
        passed = chances.cumsum(axis=1) < rng.random((len(chances), 1))
        choices = np.minimum(passed.sum(axis=1), chances.shape[1] - 1)
    return ServedChoices(choices, max(MIN_PROPENSITY, propensity(found, choices, explore)))


def propensity(found: Candidates, choices: NDArray[np.int64], explore: float) -> float:
    """Return the probability with which `serve` would serve these choices; 0 where it never does."""
    drawn = float(np.prod(np.take_along_axis(probabilities(found), choices[:, None], axis=1)))
    return min(1.0, (1 - explore) * np.array_equal(choices, greedy(found)) + explore * drawn)


def choices_of(
    boxes: Sequence[Mapping[str, Any]], found: Candidates, labels: Sequence[str], min_iou: float
) -> NDArray[np.int64] | None:
    """Return the class of each candidate in the served boxes, (n,); None where a box is not a candidate.

    `min_iou` is the lowest intersection over union of a box with its candidate.
    """
    choices = np.full(len(found.cells), len(labels))
    if not boxes:
        return choices
    alike = overlaps(np.array([box["box"] for box in boxes]), found.boxes)
    for likeness, box in zip(alike, boxes, strict=True):
        likeness[choices < len(labels)] = 0.0
        if likeness.max(initial=0.0) < min_iou:
            return None
        choices[likeness.argmax()] = labels.index(box["label"])
    return choices
