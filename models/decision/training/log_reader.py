"""Logged decisions and their feedback: rows of a dataset as the arrays that training takes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Features
from models.datasets import Row, rows
from models.decision.guardrails import caps_of
from models.decision.request import PADDED_COUNTS, Step, ids_of, step_of
from models.decision.slates import remaining

Floats = NDArray[np.float32]
Places = NDArray[np.int32]


@dataclass(frozen=True)
class LoggedDecision:
    """One decision: its tensors, the place of the action that was chosen among them, and its feedback."""

    features: Features
    chosen: int
    propensity: float
    reward: float | None
    """From -1 to 1."""
    label: int | None = None
    """The place of the right action."""
    split: str = "train"
    step: Step | None = None
    source: str = ""
    entity: str | None = None
    """Whom or what it is about: decisions of one entity are not independent."""
    prediction_id: str = ""
    position: int = 1
    """The position in its slate; the decisions of a slate follow one another in the log."""


@dataclass(frozen=True)
class DecisionBatch:
    """N decisions with up to n actions each: those whose numbers of actions are padded alike.

    `reward` is NaN and `label` -1 where there is none. Actions after the first `count` are padding, zeros.
    """

    context: Floats
    """(N, c)"""
    actions: Floats
    """(N, n, a)"""
    caps: Floats
    """(N, n): the largest probability that each action may have; 0 of forbidden ones and of padding."""
    count: Places
    """(N,), as all the others"""
    chosen: Places
    propensity: Floats
    reward: Floats
    label: Places
    place: Places
    """The place among all decisions, which are ordered by episodes; groups are not."""
    weight: Floats
    """How much each counts: 1 at most. (N,), or (N, M) for M models that are fitted at once."""

    def __len__(self) -> int:
        return len(self.count)

    def take(self, rows: NDArray[np.integer[Any]]) -> "DecisionBatch":
        """Return the decisions in these rows."""
        return DecisionBatch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


Log = list[DecisionBatch]
"""Decisions by padded number of actions, in its order."""


def total(log: Log) -> int:
    """Return how many decisions there are."""
    return sum(map(len, log))


def grouped(logged: Iterable[LoggedDecision]) -> Log:
    """Return decisions as arrays, grouped by their padded number of actions."""
    groups: dict[int, list[tuple[int, LoggedDecision]]] = defaultdict(list)
    for place, decision in enumerate(logged):
        count = len(decision.features["actions"])
        groups[next(padded for padded in PADDED_COUNTS if count <= padded)].append((place, decision))
    return [_stacked(groups[padded], padded) for padded in sorted(groups)]


def _stacked(placed: Sequence[tuple[int, LoggedDecision]], padded: int) -> DecisionBatch:
    places, group = zip(*placed, strict=True)
    columns = group[0].features["actions"].shape[1]
    actions, caps = np.zeros((len(group), padded, columns), np.float32), np.zeros((len(group), padded), np.float32)
    for row, decision in enumerate(group):
        actions[row, : len(decision.features["actions"])] = decision.features["actions"]
        caps[row, : len(decision.features["actions"])] = caps_of(decision.features)
    return DecisionBatch(
        np.stack([decision.features["context"] for decision in group]),
        actions,
        caps,
        np.array([len(decision.features["actions"]) for decision in group], np.int32),
        np.array([decision.chosen for decision in group], np.int32),
        np.array([decision.propensity for decision in group], np.float32),
        np.array([np.nan if decision.reward is None else decision.reward for decision in group], np.float32),
        np.array([-1 if decision.label is None else decision.label for decision in group], np.int32),
        np.array(places, np.int32),
        np.ones(len(group), np.float32),
    )


def read(dataset: Path) -> Iterator[LoggedDecision]:
    """Yield the decisions with a reward, a label, or a step of an episode. Raises `Untrainable`.

    A label that names none of the offered actions, or a forbidden one, is ignored.
    """
    for row in rows(dataset):
        for decision in _logged(row):
            if decision.reward is not None or decision.label is not None or decision.step is not None:
                yield decision


def _logged(row: Row) -> list[LoggedDecision]:
    """Return a row's decision, or one for each position of its slate; none for a choice that was not offered.

    What is in the positions before is forbidden in a position.
    """
    if "slate" not in row.output:
        decision = _decision(row, row.output["action"], row.propensity, row.reward)
        return [] if decision is None else [decision]
    decisions, places = list[LoggedDecision](), list[int]()
    for number, (action, propensity) in enumerate(zip(row.output["slate"], row.output["propensities"], strict=True)):
        left = replace(row, features=row.features | {"caps": remaining(caps_of(row.features), places)})
        decision = _decision(left, action, propensity, _position_reward(row, number))
        if decision is None:
            return []
        places.append(decision.chosen)
        decisions.append(replace(decision, position=number + 1, label=None if number else decision.label))
    return decisions


def _position_reward(row: Row, number: int) -> float | None:
    """Return the reward of a position: 0 without one of its own, if another position has one, or the slate earned 0.

    Another reward of the whole slate says nothing of its positions.
    """
    if row.position_rewards is None:
        return 0.0 if row.reward == 0 else None
    return row.position_rewards[number] if number < len(row.position_rewards) else 0.0


def _decision(row: Row, action: str, propensity: float, reward: float | None) -> LoggedDecision | None:
    caps = caps_of(row.features)
    places = {action: place for place, action in enumerate(ids_of(row.features)) if caps[place] > 0}
    chosen = places.get(action)
    if chosen is None:
        return None
    label = None if row.label is None else places.get(row.label["action"])
    step = step_of(row.features)
    return LoggedDecision(
        row.features,
        chosen,
        propensity,
        reward,
        label,
        row.split,
        step,
        row.source,
        row.entity,
        row.prediction_id,
    )
