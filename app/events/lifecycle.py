"""Events on `lifecycle`: drift, quality and latency incidents, retraining runs, pauses, erasures and model events."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

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
from app.events.comparison import ModelCompared
from app.events.model_events import (
    DatasetBuilt,
    ModelBacktested,
    ModelCardReplaced,
    ModelEvaluated,
    ModelRegistered,
    ModelTrained,
    RouteChanged,
)


class DriftDetected(EventData):
    """The distribution of inputs, outputs or labels differs from that in the champion's training."""

    type: ClassVar[str] = "hindsight.drift.detected.v1"
    task: TaskName
    model: ModelRef
    """The champion."""
    what: Literal["inputs", "outputs", "labels"]
    """The distribution that changed."""
    feature: Attribute | None = None
    """The number whose distribution changed, such as `confidence`."""
    detector: Name
    """The test's name."""
    statistic: float
    """The value of the test statistic."""
    threshold: float
    """The largest value that does not count as drift."""
    events: Count
    """The number of events that were tested."""


class QualityFell(EventData):
    """The mean score of a window is below its bound, or significantly below its reference."""

    type: ClassVar[str] = "hindsight.quality.fell.v1"
    task: TaskName
    model: ModelRef
    """The champion."""
    score: float
    """The mean score in the window."""
    interval: tuple[float, float]
    """The confidence interval of the score: lower and upper end."""
    reference: float
    """The score that it is compared with."""
    labelled: Count
    """The number of outcomes in the window that have a score."""
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
    """The number of answers that were measured."""


class RetrainingTriggered(EventData):
    """A retraining run starts."""

    type: ClassVar[str] = "hindsight.retraining.triggered.v1"
    task: TaskName
    run_id: RunId
    trigger: Literal["volume", "quality", "drift", "latency", "schedule", "alert", "manual"]
    """The trigger that started it."""
    evidence: dict[str, Any]
    """The trigger's figures, or the person who requested the run."""
    champion: VersionNumber
    """The champion at that time: training starts from it, and the candidate is compared with it."""
    candidates: Annotated[int, Field(ge=1, le=100)] = 1
    """The number of candidates that it trains."""


class RetrainingEnded(EventData):
    """A retraining run has ended."""

    type: ClassVar[str] = "hindsight.retraining.ended.v1"
    task: TaskName
    run_id: RunId
    outcome: Literal["promoted", "refused", "rolled_back", "failed", "cancelled"]
    """`promoted` if the candidate became the champion; otherwise how the run ended."""
    reason: Reason
    """The reason, with figures."""


class TaskFrozen(EventData):
    """Retraining and promotion of a task are paused or resumed. A rollback is possible at any time."""

    type: ClassVar[str] = "hindsight.task.frozen.v1"
    task: TaskName
    frozen: bool
    """Whether they are paused."""
    reason: Reason
    """The reason."""
    actor: Actor
    """The person who paused or resumed them."""


class DataErased(EventData):
    """An erasure is complete. The event records how much was erased and where, never the data."""

    type: ClassVar[str] = "hindsight.data.erased.v1"
    erasure_id: Name
    """The id of the erasure."""
    by: Literal["actor", "subject"]
    """The scope of the request: everything that an actor contributed, or everything about a subject."""
    counts: dict[str, Count]
    """The number of erased items in each place."""
    requested_by: Actor
    """The person who requested it."""


LIFECYCLE_TYPES: tuple[EventType, ...] = (
    DriftDetected,
    QualityFell,
    LatencyRose,
    RetrainingTriggered,
    RetrainingEnded,
    DatasetBuilt,
    ModelTrained,
    ModelBacktested,
    ModelCompared,
    ModelEvaluated,
    ModelRegistered,
    ModelCardReplaced,
    RouteChanged,
    TaskFrozen,
    DataErased,
)
