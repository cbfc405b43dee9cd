"""Logged decisions and their feedback: rows of a dataset as the arrays that training takes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Features
from models.datasets import Row, rows
from models.decision.request import PADDED_COUNTS, Step, ids_of, step_of

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


@dataclass(frozen=True)
class DecisionBatch:
    """N decisions with up to n actions each: those whose numbers of actions are padded alike.

    `reward` is NaN and `label` -1 where there is none. Actions after the first `count` are padding, zeros.
    """

    context: Floats
    """(N, c)"""
    actions: Floats
    """(N, n, a)"""
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
    actions = np.zeros((len(group), padded, columns), np.float32)
    for row, decision in enumerate(group):
        actions[row, : len(decision.features["actions"])] = decision.features["actions"]
    return DecisionBatch(
        np.stack([decision.features["context"] for decision in group]),
        actions,
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

    A label that names none of the offered actions is ignored.
    """
    for row in rows(dataset):
        decision = _logged(row)
        if decision is not None and (
            decision.reward is not None or decision.label is not None or decision.step is not None
        ):
            yield decision


def _logged(row: Row) -> LoggedDecision | None:
    places = {decision: place for place, decision in enumerate(ids_of(row.features))}
    chosen = places.get(row.output["action"])
    if chosen is None:
        return None
    label = None if row.label is None else places.get(row.label["action"])
    step = step_of(row.features)
    return LoggedDecision(
        row.features, chosen, row.propensity, row.reward, label, row.split, step, row.source, row.entity
    )
