"""What is said on `lifecycle`: how models are watched, trained, judged and put to work."""

from typing import Any, ClassVar, Literal

from app.events.base import (
    Actor,
    Attribute,
    Count,
    EventData,
    EventType,
    ModelRef,
    Name,
    Reason,
    RunId,
    Share,
    TaskName,
    VersionNumber,
)
from app.events.model_events import (
    DatasetBuilt,
    ModelBacktested,
    ModelEvaluated,
    ModelRegistered,
    ModelTrained,
    RouteChanged,
)


class DriftDetected(EventData):
    """What comes in or goes out is no longer distributed as in the champion's training."""

    type: ClassVar[str] = "hindsight.drift.detected.v1"
    task: TaskName
    model: ModelRef
    """The champion."""
    what: Literal["inputs", "outputs", "labels"]
    """Whose distribution moved."""
    feature: Attribute | None = None
    """Which number of it, such as `confidence`."""
    detector: Name
    """The test's name."""
    statistic: float
    """What the test found."""
    threshold: float
    """What it may find at most."""
    events: Count
    """How many events it looked at."""


class QualityFell(EventData):
    """The windowed score is below its bound, or significantly below its reference."""

    type: ClassVar[str] = "hindsight.quality.fell.v1"
    task: TaskName
    model: ModelRef
    """The champion."""
    score: float
    """The mean score of the window."""
    interval: tuple[float, float]
    """Its confidence interval, from and to."""
    reference: float
    """The score it is compared with."""
    labelled: Count
    """How many outcomes of the window have a score."""
    coverage: Share
    """The share of the window's predictions that have a score."""


class LatencyRose(EventData):
    """The 99th percentile of the time from request to answer is above its bound."""

    type: ClassVar[str] = "hindsight.latency.rose.v1"
    task: TaskName
    p99_ms: float
    """The 99th percentile, in milliseconds."""
    bound_ms: float
    """Its bound, in milliseconds."""
    events: Count
    """How many answers it was measured over."""


class RetrainingTriggered(EventData):
    """A run begins, and why."""

    type: ClassVar[str] = "hindsight.retraining.triggered.v1"
    task: TaskName
    run_id: RunId
    trigger: Literal["volume", "quality", "drift", "latency", "schedule", "alert", "manual"]
    """What fired."""
    evidence: dict[str, Any]
    """What it saw: the figures, or who asked."""
    champion: VersionNumber
    """The version that served then: training starts from it, and its candidate is held against it."""


class RetrainingEnded(EventData):
    """A run is over, and how."""

    type: ClassVar[str] = "hindsight.retraining.ended.v1"
    task: TaskName
    run_id: RunId
    outcome: Literal["promoted", "refused", "rolled_back", "failed", "cancelled"]
    """Whether its candidate is the champion, or what kept it from that."""
    reason: Reason
    """Why, with the figures."""


class TaskFrozen(EventData):
    """Retraining and promotion of a task are paused, or go on. A rollback is always possible."""

    type: ClassVar[str] = "hindsight.task.frozen.v1"
    task: TaskName
    frozen: bool
    """Whether they are paused."""
    reason: Reason
    """Why."""
    actor: Actor
    """Who did it."""


class DataErased(EventData):
    """An erasure is done. It says how much was erased and where, never what."""

    type: ClassVar[str] = "hindsight.data.erased.v1"
    erasure_id: Name
    """The erasure."""
    by: Literal["actor", "subject"]
    """What was asked for: all that an actor said, or all that is of a subject."""
    counts: dict[str, Count]
    """How many were erased in each place."""
    requested_by: Actor
    """Who asked for it."""


LIFECYCLE_TYPES: tuple[EventType, ...] = (
    DriftDetected,
    QualityFell,
    LatencyRose,
    RetrainingTriggered,
    RetrainingEnded,
    DatasetBuilt,
    ModelTrained,
    ModelBacktested,
    ModelEvaluated,
    ModelRegistered,
    RouteChanged,
    TaskFrozen,
    DataErased,
)
