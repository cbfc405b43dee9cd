"""A CTC network as a policy: which labels it serves, and with which probability.

For a share of the traffic the output is drawn from the network's distribution, so that rewards are observed for
more than the best path. Only numpy: this runs at serving time.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.nn.ctc import Floats, Ints, best_path, label_probabilities, sampled_path, single_spaced
from models.nn.exploration import MIN_PROPENSITY


class ServedLabels(NamedTuple):
    """One line's labels, their probability under the network, and that of being served."""

    labels: list[int]
    probability: float
    propensity: float


def serve(
    log_probs: Floats,
    lengths: Ints,
    explore: float,
    rngs: Sequence[np.random.Generator],
    space: int | None = None,
) -> list[ServedLabels]:
    """Draw each line's labels with the probability `explore`, otherwise take those of the best path.

    Labels y are served with the probability (1 - explore) * [y is the best path's] + explore * p(y), whichever way
    they were chosen. The random source is the prediction's own (`Asked.rng`); without exploration `rngs` is not used.
    With a `space` labels are single-spaced, and all that are the same words are one output.
    """
    best = [_words(line, space) for line in best_path(log_probs, lengths)]
    chosen = best
    if explore:
        chosen = [
            _words(sampled_path(log_probs[row], int(lengths[row]), rng), space) if rng.random() < explore else best[row]
            for row, rng in enumerate(rngs)
        ]
    probabilities = label_probabilities(log_probs, lengths, chosen, space).tolist()
    return [
        ServedLabels(labels, probability, _propensity(labels == greedy, probability, explore))
        for labels, greedy, probability in zip(chosen, best, probabilities, strict=True)
    ]


def propensities(
    log_probs: Floats, lengths: Ints, labels: Sequence[list[int]], explore: float, space: int | None = None
) -> NDArray[np.float64]:
    """Return the probability with which `serve` would serve these labels of each line, (batch,); 0 where it never does.

    For the lines of another version's log.
    """
    greedy = [_words(line, space) == given for line, given in zip(best_path(log_probs, lengths), labels, strict=True)]
    drawn = label_probabilities(log_probs, lengths, list(labels), space) if explore else np.zeros(len(labels))
    return (1 - explore) * np.array(greedy, np.float64) + explore * drawn


def joint_probabilities(parts: Sequence[ServedLabels]) -> tuple[float, float]:
    """Return the probability and the propensity of one output in parts, each of which was drawn or not for itself."""
    return prod(part.probability for part in parts), max(MIN_PROPENSITY, prod(part.propensity for part in parts))


def _words(labels: list[int], space: int | None) -> list[int]:
    return labels if space is None else single_spaced(labels, space)


def _propensity(greedy: bool, probability: float, explore: float) -> float:
    return min(1.0, max(MIN_PROPENSITY, (1 - explore) * greedy + explore * probability))
