"""Slates: several distinct actions of one request, in positions, drawn one after the other without replacement.

The first position's action is drawn from all allowed actions, each later one from those that are left, with the same
exploration and caps. So each position has a propensity given the positions before, exactly, and a slate the product of
these. With `softmax` and without floors or caps, this is the model of Plackett and Luce.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Features, Rejected
from models.decision.exploration import PARTS, Exploration, draw
from models.decision.guardrails import Caps, capped_parts


@dataclass(frozen=True)
class Slate:
    """The places of k actions among those of a request, and the propensity of each, given those before it."""

    places: tuple[int, ...]
    propensities: tuple[float, ...]
    first: NDArray[np.int64]
    """The probability of each action in the first position, in parts of 2**32, (n,)."""

    @property
    def propensity(self) -> float:
        """The probability of the whole slate, in its order."""
        return math.prod(self.propensities)


def draw_slate(
    exploration: Exploration, logits: NDArray[Any], caps: Caps, positions: int, rng: np.random.Generator
) -> Slate:
    """Draw so many actions, by their scores (n,), or (K, n) of K heads."""
    places, propensities, first = list[int](), list[float](), capped_parts(exploration, logits, caps)
    parts = first
    while True:
        places.append(draw(parts, rng))
        propensities.append(float(parts[places[-1]] / PARTS))
        if len(places) == positions:
            return Slate(tuple(places), tuple(propensities), first)
        parts = capped_parts(exploration, logits, remaining(caps, places))


def remaining(caps: Caps, places: Sequence[int]) -> Caps:
    """Return the caps of a position, where the actions at these places are in positions before it."""
    left = caps.copy()
    left[list(places)] = 0
    return left


def check_positions(positions: int | None, caps: Caps) -> Features:
    """Return the tensor of a request's number of positions, none without a slate. Raises `Rejected`."""
    if positions is None:
        return {}
    if positions > (allowed := np.count_nonzero(caps)):
        raise Rejected(
            "too_few_allowed",
            f"a slate of {positions} needs as many allowed actions, and there are {allowed}; ask for fewer `positions`",
        )
    return {"positions": np.array([positions], np.int32)}


def positions_of(features: Features) -> int | None:
    """Return the number of positions that a request asks for; None for one that asks for a single action."""
    return int(features["positions"][0]) if "positions" in features else None
