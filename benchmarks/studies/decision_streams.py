"""Streams of the study `decision_ranks`: requests in rounds, with the expected reward of each action."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.decision_explorers import Request
from benchmarks.studies.keel import ClassificationSet
from models.decision.data import simulator
from models.decision.schema import SHIPPED, Schema

SET_ROUNDS, MAX_EXAMPLES = 6, 2_400
SHOP_ROUNDS, VISITS_PER_ROUND = 8, 500


@dataclass(frozen=True)
class Round:
    """Requests, and for each the expected rewards of its actions."""

    requests: list[Request]
    expected: list[NDArray[np.float64]]


@dataclass(frozen=True)
class Stream:
    """A problem: the schema of its requests, and its rounds."""

    schema: dict[str, Any]
    rounds: list[Round]


def multiclass(examples: ClassificationSet, seed: int) -> Stream:
    """Return a classification set as decisions: the classes are the actions, the right one has reward 1.

    Each example occurs once, in random order; at most 2,400 of a set.
    """
    order = np.random.default_rng((seed, 1)).permutation(len(examples.labels))[:MAX_EXAMPLES]
    actions = [{"id": name, "class": name} for name in examples.classes]
    requests = [{"context": examples.features[row], "actions": actions} for row in order]
    expected = list(np.eye(len(actions))[np.array(examples.labels)[order]])
    bounds = np.linspace(0, len(order), SET_ROUNDS + 1).astype(int)
    rounds = [Round(requests[start:end], expected[start:end]) for start, end in pairwise(bounds)]
    kinds = {
        name: sorted({str(row[name]) for row in examples.features}) if isinstance(value, str) else "numeric"
        for name, value in examples.features[0].items()
    }
    return Stream({"context": kinds, "actions": {"class": examples.classes}}, rounds)


def shop(seed: int, turn: int = SHOP_ROUNDS) -> Stream:
    """Return visits to the simulated shop, whose visitors' tastes turn round after so many rounds."""
    rng = np.random.default_rng((seed, 2))
    rounds = []
    for number in range(SHOP_ROUNDS):
        requests = [simulator.visit(rng) for _ in range(VISITS_PER_ROUND)]
        tastes = _turned if number >= turn else lambda request: request
        expected = [
            np.array(list(simulator.acceptance_probabilities(tastes(request)).values())) for request in requests
        ]
        rounds.append(Round(requests, expected))
    return Stream(Schema.load(SHIPPED).described(), rounds)


def _turned(request: Request) -> Request:
    """Return the request as seen by visitors who want another category than their interest, and the other layout."""
    categories, layouts = simulator.CATEGORIES, simulator.LAYOUTS
    wanted = categories[(categories.index(request["context"]["interest"]) + 1) % len(categories)]
    actions = [{**action, "layout": layouts[1 - layouts.index(action["layout"])]} for action in request["actions"]]
    return {"context": {**request["context"], "interest": wanted}, "actions": actions}


SHOPS: dict[str, Callable[[int], Stream]] = {
    "shop": shop,
    "shop, tastes turn": lambda seed: shop(seed, SHOP_ROUNDS // 2),
}
