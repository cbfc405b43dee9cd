"""Guardrails: the most probability that a decision may give to an action, by the request's mask and the task's rules.

A cap of 0 forbids an action, a cap of 1 leaves it free. Caps are a tensor of the request, so they are in the log: the
learner and off-policy estimates see which actions could be chosen, and a candidate's probabilities have the same caps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Features, Rejected
from models.decision.exploration import PARTS, Exploration
from models.decision.request import Request

Caps = NDArray[np.float32]
_ROUNDING = 1e-6
"""Of caps as float32 that should sum to 1."""


def read_caps(request: Request, ids: Sequence[str], max_shares: Mapping[str, float]) -> Caps:
    """Return the cap of each of the request's actions, (n,). Raises `Rejected` if they leave too little to choose from.

    `max_shares` are the task's caps by action. An id in a mask or a rule that no action has changes nothing.
    """
    allowed, forbidden = request.allowed, request.forbidden or frozenset()
    caps = np.array(
        [max_shares.get(id, 1.0) if (allowed is None or id in allowed) and id not in forbidden else 0.0 for id in ids],
        np.float32,
    )
    if not caps.any():
        raise Rejected(
            "nothing_allowed",
            f"`allowed` and `forbidden` leave none of the {len(caps):,} actions to choose from; allow at least one",
        )
    if (total := float(caps.sum(dtype=np.float64))) < 1 - _ROUNDING:
        raise Rejected(
            "too_little_allowed",
            f"the {np.count_nonzero(caps):,} allowed actions may have at most {total:.3g} of the probability by the"
            " task's `max_shares`; allow an action without such a share",
        )
    return caps


def caps_of(features: Features) -> Caps:
    """Return the caps of a request's actions, (n,)."""
    return features["caps"] if "caps" in features else np.ones(len(features["actions"]), np.float32)


def capped_parts(exploration: Exploration, logits: NDArray[Any], caps: Caps) -> NDArray[np.int64]:
    """Return the probability of each action in parts of 2**32, (n,): what exploration gives to the allowed actions,
    and of that at most their caps. What a cap takes away goes to the others, in proportion to what they have.

    `logits` are (n,), or (K, n) of K heads.
    """
    allowed = np.flatnonzero(caps)
    parts = np.zeros(len(caps), np.int64)
    parts[allowed] = exploration.parts(logits[..., allowed])
    limits = np.ceil(caps / min(1.0, caps.sum(dtype=np.float64)) * PARTS).astype(np.int64)
    while (parts > limits).any():
        parts = np.minimum(parts, limits)
        free = np.flatnonzero(parts < limits)
        excess, shares = PARTS - int(parts.sum()), parts[free] + 1.0
        parts[free] += np.floor(excess * shares / shares.sum()).astype(np.int64)
        parts[free[int((limits - parts)[free].argmax())]] += PARTS - int(parts.sum())  # what rounding has left over
    return parts
