"""A retraining run as `lifecycle` tells it: what is done of it, and so what comes next."""

from dataclasses import dataclass, field
from datetime import datetime

from app.events.base import EventData
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
"""In their order; `rollout` is shadow, canary, champion."""


@dataclass
class Run:
    """One run of a task. Of several events that say the same step the first in the log counts."""

    id: str
    triggered: RetrainingTriggered
    time: datetime
    """When it was triggered: its dataset is the log as it was known then."""
    dataset: DatasetBuilt | None = None
    trained: ModelTrained | None = None
    backtested: ModelBacktested | None = None
    evaluated: ModelEvaluated | None = None
    registered: ModelRegistered | None = None
    routes: list[tuple[datetime, RouteChanged]] = field(default_factory=list)
    """The changes of the route that it made, those that are in force or were."""
    ended: RetrainingEnded | None = None

    @property
    def task(self) -> str:
        """Whose model is trained."""
        return self.triggered.task

    @property
    def step(self) -> str | None:
        """What is to be done next; None of a run that is over."""
        if self.ended is not None:
            return None
        done = (self.dataset, self.trained, self.backtested, self.evaluated, self.registered)
        return next((step for step, event in zip(STEPS, done, strict=False) if event is None), STEPS[-1])

    def apply(self, said: EventData, time: datetime) -> bool:
        """Take in an event that names this run; whether it says anything new."""
        if isinstance(said, RouteChanged):
            self.routes.append((time, said))
            return True
        for name, kind in _EVENTS.items():
            if isinstance(said, kind) and getattr(self, name) is None and self.ended is None:
                setattr(self, name, said)
                return True
        return False


_EVENTS: dict[str, type[EventData]] = {
    "dataset": DatasetBuilt,
    "trained": ModelTrained,
    "backtested": ModelBacktested,
    "evaluated": ModelEvaluated,
    "registered": ModelRegistered,
    "ended": RetrainingEnded,
}
