"""A CTC network as a policy: what it serves, and with which probability it serves that.

Of a share of the traffic the output is drawn from the network's own distribution, so that rewards say something of
more than the best path. Only numpy: this runs at serving time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.base import Asked
from models.nn.ctc import Floats, Ints, best_path, label_probabilities, sampled_path

_SMALLEST = float(np.finfo(np.float64).tiny)
"""A propensity is above 0; labels less probable than a float can say are said to be of this probability."""


class Served(NamedTuple):
    """One line's labels, their probability under the network, and that of being served."""

    labels: list[int]
    probability: float
    propensity: float


def serve(log_probs: Floats, lengths: Ints, explore: float, asked: Sequence[Asked]) -> list[Served]:
    """With the probability `explore` the labels are drawn, else they are the best path's.

    Labels y are so served with the probability (1 - explore) * [y is the best path's] + explore * p(y), whichever way
    they came about. Chance is the prediction's own (`Asked.rng`); without exploration `asked` isn't looked at.
    """
    best = best_path(log_probs, lengths)
    chosen = best
    if explore:
        chosen = [
            _drawn(line, log_probs[row], int(lengths[row]), explore, asked[row].rng()) for row, line in enumerate(best)
        ]
    probabilities = label_probabilities(log_probs, lengths, chosen).tolist()
    return [
        Served(labels, probability, _propensity(labels == greedy, probability, explore))
        for labels, greedy, probability in zip(chosen, best, probabilities, strict=True)
    ]


def _drawn(best: list[int], log_probs: Floats, length: int, explore: float, rng: np.random.Generator) -> list[int]:
    return sampled_path(log_probs, length, rng) if rng.random() < explore else best


def _propensity(greedy: bool, probability: float, explore: float) -> float:
    return min(1.0, max(_SMALLEST, (1 - explore) * greedy + explore * probability))


def checked_share(explore: float) -> float:
    """The option as it came, if it is a share. Raises `ValueError`, as a task's `__init__` does for its options."""
    if isinstance(explore, bool) or not isinstance(explore, int | float) or not 0 <= explore <= 1:
        raise ValueError(f"explore is the share of traffic whose output is drawn, from 0 to 1, not {explore!r}")
    return float(explore)
