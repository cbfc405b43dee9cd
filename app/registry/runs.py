"""Retraining runs, built from `lifecycle`: the steps that are done, and the next one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.events.base import EventData
from app.events.comparison import ModelCompared
from app.events.lifecycle import RetrainingEnded, RetrainingTriggered
from app.events.model_events import (
    DatasetBuilt,
    ModelBacktested,
    ModelEvaluated,
    ModelRegistered,
    ModelTrained,
    RouteChanged,
)

STEPS = ("dataset", "train", "backtest", "evaluate", "register", "rollout")
"""The steps in their order; `rollout` is shadow, canary, champion."""


@dataclass
class Candidate:
    """A candidate of a run. If a step has several events of it, the first in the log counts."""

    run_id: str
    number: int
    """From 1."""
    trained: ModelTrained | None = None
    backtested: ModelBacktested | None = None
    compared: ModelCompared | None = None
    evaluated: ModelEvaluated | None = None
    registered: ModelRegistered | None = None

    @property
    def id(self) -> str:
        """Its name in the run's events, before it has a version: that of the run for the first."""
        return self.run_id if self.number == 1 else f"{self.run_id}.{self.number}"

    @property
    def version(self) -> str | None:
        """Its version in the registry; None unless it is registered."""
        return None if self.registered is None else self.registered.model.version

    @property
    def has_passed(self) -> bool:
        """Whether it has passed the gate."""
        return self.evaluated is not None and self.evaluated.passed


@dataclass
class Run:
    """One run of a task."""

    id: str
    triggered: RetrainingTriggered
    time: datetime
    """When it was triggered: its dataset is the log as of this time."""
    candidates: list[Candidate] = field(init=False)
    dataset: DatasetBuilt | None = None
    routes: list[tuple[datetime, RouteChanged]] = field(default_factory=list)
    """The changes of the route that it made and that came into force."""
    ended: RetrainingEnded | None = None

    def __post_init__(self) -> None:
        self.candidates = [Candidate(self.id, number) for number in range(1, self.triggered.candidates + 1)]

    @property
    def task(self) -> str:
        """The task whose model is trained."""
        return self.triggered.task

    @property
    def passed(self) -> list[Candidate]:
        """The candidates that passed the gate."""
        return [candidate for candidate in self.candidates if candidate.has_passed]

    @property
    def versions(self) -> list[str]:
        """The versions of its candidates in the registry."""
        return [candidate.version for candidate in self.candidates if candidate.version is not None]

    @property
    def lead(self) -> Candidate:
        """The candidate that stands for the run: of those that passed the gate, if any, the first that still serves."""
        passed = self.passed or self.candidates
        route = self.routes[-1][1] if self.routes else None
        serving = set[str | None]() if route is None else {route.champion, route.canary, *route.shadows}
        return next(
            (candidate for candidate in passed if candidate.version and candidate.version in serving), passed[0]
        )

    @property
    def backtested(self) -> ModelBacktested | None:
        """The backtest of the lead."""
        return self.lead.backtested

    @property
    def compared(self) -> ModelCompared | None:
        """The comparison of the lead with the champion."""
        return self.lead.compared

    @property
    def evaluated(self) -> ModelEvaluated | None:
        """The gate's verdict on the lead."""
        return self.lead.evaluated

    @property
    def registered(self) -> ModelRegistered | None:
        """The registration of the lead."""
        return self.lead.registered

    @property
    def step(self) -> str | None:
        """The next step; None if the run has ended. A step is done once it is for each candidate."""
        if self.ended is not None:
            return None
        done = (
            self.dataset is not None,
            all(candidate.trained for candidate in self.candidates),
            all(candidate.backtested for candidate in self.candidates),
            all(candidate.evaluated for candidate in self.candidates),
            bool(self.passed) and all(candidate.registered for candidate in self.passed),
        )
        return next((step for step, is_done in zip(STEPS, done, strict=False) if not is_done), STEPS[-1])

    @property
    def refusal(self) -> str | None:
        """The reasons if the gate refused all candidates; else None."""
        if self.passed or not all(candidate.evaluated for candidate in self.candidates):
            return None
        reasons = [" ".join(candidate.evaluated.reasons) for candidate in self.candidates if candidate.evaluated]
        if len(reasons) == 1:
            return reasons[0]
        return " ".join(f"Candidate {number}: {reason}" for number, reason in enumerate(reasons, 1))

    def candidate_of(self, version: str) -> Candidate | None:
        """Return the candidate that has this version in the registry; None if there is none."""
        return next((candidate for candidate in self.candidates if candidate.version == version), None)

    def apply(self, data: EventData, time: datetime) -> bool:
        """Apply an event that names this run; return whether it is new."""
        if isinstance(data, RouteChanged):
            self.routes.append((time, data))
            return True
        target: Run | Candidate = self
        match data:
            case ModelTrained() | ModelBacktested() | ModelCompared() | ModelEvaluated():
                target = self._candidate(data.model.version)
            case ModelRegistered():
                target = self._candidate(data.candidate)
        for name, kind in _EVENTS.items():
            if isinstance(data, kind) and getattr(target, name) is None and self.ended is None:
                setattr(target, name, data)
                return True
        return False

    def _candidate(self, id: str | None) -> Candidate:
        """Return the candidate of this id; the first for events of older releases, which had no other."""
        return next((candidate for candidate in self.candidates if candidate.id == id), self.candidates[0])


_EVENTS: dict[str, type[EventData]] = {
    "dataset": DatasetBuilt,
    "trained": ModelTrained,
    "backtested": ModelBacktested,
    "compared": ModelCompared,
    "evaluated": ModelEvaluated,
    "registered": ModelRegistered,
    "ended": RetrainingEnded,
}


def last_compared(runs: Mapping[str, Run]) -> Run | None:
    """Return the last run whose candidate was compared with its champion; `runs` are in the order of their starts."""
    return next((run for run in reversed(list(runs.values())) if run.compared is not None), None)
