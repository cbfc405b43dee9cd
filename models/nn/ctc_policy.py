"""A CTC network as a policy: what it serves, and with which probability it serves that.

Of a share of the traffic the output is drawn from the network's own distribution, so that rewards say something of
more than the best path. Only numpy: this runs at serving time.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from models.nn.ctc import Floats, Ints, best_path, label_probabilities, sampled_path, single_spaced

_SMALLEST = float(np.finfo(np.float64).tiny)
"""A propensity is above 0; labels less probable than a float can say are said to be of this probability."""


class Served(NamedTuple):
    """One line's labels, their probability under the network, and that of being served."""

    labels: list[int]
    probability: float
    propensity: float


def serve(
    log_probs: Floats,
    lengths: Ints,
    explore: float,
    chances: Sequence[np.random.Generator],
    space: int | None = None,
) -> list[Served]:
    """With the probability `explore` the labels are drawn, else they are the best path's.

    Labels y are so served with the probability (1 - explore) * [y is the best path's] + explore * p(y), whichever way
    they came about. Chance is the prediction's own (`Asked.rng`); without exploration `chances` isn't looked at. With a
    `space` labels are single-spaced, and all that are the same words are one.
    """
    best = [_words(line, space) for line in best_path(log_probs, lengths)]
    chosen = best
    if explore:
        chosen = [
            _words(sampled_path(log_probs[row], int(lengths[row]), rng), space) if rng.random() < explore else best[row]
            for row, rng in enumerate(chances)
        ]
    probabilities = label_probabilities(log_probs, lengths, chosen, space).tolist()
    return [
        Served(labels, probability, _propensity(labels == greedy, probability, explore))
        for labels, greedy, probability in zip(chosen, best, probabilities, strict=True)
    ]


def together(parts: Sequence[Served]) -> tuple[float, float]:
    """The probability and the propensity of one output in parts, each of which was drawn or not for itself."""
    return prod(part.probability for part in parts), max(_SMALLEST, prod(part.propensity for part in parts))


def _words(labels: list[int], space: int | None) -> list[int]:
    return labels if space is None else single_spaced(labels, space)


def _propensity(greedy: bool, probability: float, explore: float) -> float:
    return min(1.0, max(_SMALLEST, (1 - explore) * greedy + explore * probability))


def checked_share(explore: float) -> float:
    """The option as it came, if it is a share. Raises `ValueError`, as a task's `__init__` does for its options."""
    if isinstance(explore, bool) or not isinstance(explore, int | float) or not 0 <= explore <= 1:
        raise ValueError(f"explore is the share of traffic whose output is drawn, from 0 to 1, not {explore!r}")
    return float(explore)
