"""What a policy has decided and what came of it: rows of a dataset as arrays that training takes."""

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
class Logged:
    """One decision: its tensors, the place of the action that was chosen among them, and what was said of it."""

    features: Features
    chosen: int
    propensity: float
    reward: float | None
    """From -1 to 1."""
    label: int | None = None
    """The place of the action that would have been right."""
    split: str = "train"
    step: Step | None = None
    source: str = ""


@dataclass(frozen=True)
class Decisions:
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
    """Which of all decisions it is: their order is of episodes, the groups are not."""

    def __len__(self) -> int:
        return len(self.count)

    def take(self, rows: NDArray[np.integer[Any]]) -> "Decisions":
        """Some of them."""
        return Decisions(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


Log = list[Decisions]
"""Decisions by padded number of actions, in its order."""


def total(log: Log) -> int:
    """How many decisions there are."""
    return sum(map(len, log))


def grouped(logged: Iterable[Logged]) -> Log:
    """Decisions as arrays, those of like padding together."""
    groups: dict[int, list[tuple[int, Logged]]] = defaultdict(list)
    for place, one in enumerate(logged):
        count = len(one.features["actions"])
        groups[next(padded for padded in PADDED_COUNTS if count <= padded)].append((place, one))
    return [_stacked(groups[padded], padded) for padded in sorted(groups)]


def _stacked(placed: Sequence[tuple[int, Logged]], padded: int) -> Decisions:
    places, group = zip(*placed, strict=True)
    columns = group[0].features["actions"].shape[1]
    actions = np.zeros((len(group), padded, columns), np.float32)
    for row, one in enumerate(group):
        actions[row, : len(one.features["actions"])] = one.features["actions"]
    return Decisions(
        np.stack([one.features["context"] for one in group]),
        actions,
        np.array([len(one.features["actions"]) for one in group], np.int32),
        np.array([one.chosen for one in group], np.int32),
        np.array([one.propensity for one in group], np.float32),
        np.array([np.nan if one.reward is None else one.reward for one in group], np.float32),
        np.array([-1 if one.label is None else one.label for one in group], np.int32),
        np.array(places, np.int32),
    )


def read(dataset: Path) -> Iterator[Logged]:
    """The decisions of a dataset that have a reward or a label, or are a step of an episode. Raises `Untrainable`.

    A label that names none of the actions at hand says nothing.
    """
    for row in rows(dataset):
        one = _logged(row)
        if one is not None and (one.reward is not None or one.label is not None or one.step is not None):
            yield one


def _logged(row: Row) -> Logged | None:
    places = {one: place for place, one in enumerate(ids_of(row.features))}
    chosen = places.get(row.output["action"])
    if chosen is None:
        return None
    label = None if row.label is None else places.get(row.label["action"])
    step = step_of(row.features)
    return Logged(row.features, chosen, row.propensity, row.reward, label, row.split, step, row.source)
