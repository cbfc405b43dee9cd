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
class Run:
    """One run of a task. If a step has several events, the first in the log counts."""

    id: str
    triggered: RetrainingTriggered
    time: datetime
    """When it was triggered: its dataset is the log as of this time."""
    dataset: DatasetBuilt | None = None
    trained: ModelTrained | None = None
    backtested: ModelBacktested | None = None
    compared: ModelCompared | None = None
    evaluated: ModelEvaluated | None = None
    registered: ModelRegistered | None = None
    routes: list[tuple[datetime, RouteChanged]] = field(default_factory=list)
    """The changes of the route that it made and that came into force."""
    ended: RetrainingEnded | None = None

    @property
    def task(self) -> str:
        """The task whose model is trained."""
        return self.triggered.task

    @property
    def step(self) -> str | None:
        """The next step; None if the run has ended."""
        if self.ended is not None:
            return None
        done = (self.dataset, self.trained, self.backtested, self.evaluated, self.registered)
        return next((step for step, event in zip(STEPS, done, strict=False) if event is None), STEPS[-1])

    def apply(self, data: EventData, time: datetime) -> bool:
        """Apply an event that names this run; return whether it is new."""
        if isinstance(data, RouteChanged):
            self.routes.append((time, data))
            return True
        for name, kind in _EVENTS.items():
            if isinstance(data, kind) and getattr(self, name) is None and self.ended is None:
                setattr(self, name, data)
                return True
        return False


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
