"""Observations and states of triggers. Plain data: no clock, no streams."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from app.events.lifecycle import RetrainingTriggered
from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate
from app.monitoring.quality_detector import QualityReference

T = TypeVar("T")


@dataclass(frozen=True)
class WindowValue(Generic[T]):
    """A value measured between two times."""

    start: datetime
    end: datetime
    value: T


@dataclass(frozen=True)
class LatencyStats:
    """The total latency in a window."""

    p99_ms: float
    """The 99th percentile, in milliseconds."""
    events: int
    """The number of answers."""


@dataclass(frozen=True)
class MemoryStats:
    """The remembered corrections that were served in a window, by what people said of them."""

    right: int
    wrong: int


@dataclass(frozen=True)
class Alert:
    """An alert of Alertmanager that is firing for the task."""

    name: str
    """Its label `alertname`."""
    started: datetime
    """Its `startsAt`."""


@dataclass(frozen=True)
class Observation:
    """An observation of a task. Each window is the last complete one; None if there is none yet."""

    labelled: int = 0
    """Labelled events since the last dataset."""
    quality: WindowValue[QualityEstimate] | None = None
    """Its window is complete once the wait for feedback is over."""
    quality_history: Sequence[QualityEstimate] = ()
    """Windows before `quality`, in order of time, since a run last answered a fall: its evidence."""
    fall_runs: int = 0
    """The runs that falls of this champion have started. None of them has brought another champion."""
    reference: QualityReference | None = None
    """The champion's reference score, from its first windows or the gate."""
    expected: WindowValue[PerformanceEstimate] | None = None
    """The expected score of the last window, before its feedback is complete."""
    drift: WindowValue[Sequence[DriftFinding]] | None = None
    latency: WindowValue[LatencyStats] | None = None
    memory: WindowValue[MemoryStats] | None = None
    """Its window is that of `quality`, which is of the model alone."""
    alerts: Sequence[Alert] = ()
    running: bool = False
    """Whether a run is active."""
    frozen: bool = False
    """Whether retraining and promotion of the task are paused."""


@dataclass(frozen=True)
class WindowVerdict:
    """The verdict on a window. One that is neither a breach nor healthy leaves a fired trigger as it is."""

    breach: dict[str, Any] | None = None
    """The figures, if they breach the bound."""
    healthy: bool = False
    """Whether a trigger that has fired may arm again."""
    insufficient_data: tuple[str, ...] = ()
    """The reasons why the window can't be judged, in sentences."""


@dataclass(frozen=True)
class TriggerState:
    """The state of a trigger with windows."""

    judged_until: float = 0.0
    """The end of the last judged window, in seconds since 1970."""
    breaches: int = 0
    """The number of breaches in a row, up to the last window."""
    evidence: dict[str, Any] | None = None
    """The figures of the last window, if it was a breach."""
    armed: bool = True
    """False after it has fired, until a window is healthy. Quality stays armed."""
    reported: bool = False
    """Whether an incident was published, until a window is healthy."""

    def apply(self, window: WindowValue[T] | None, judge: Callable[[T], WindowVerdict]) -> "TriggerState":
        """Return the state after a window. It counts if it can be judged, and does not overlap judged windows."""
        if (
            window is None
            or window.start.timestamp() < self.judged_until
            or (verdict := judge(window.value)).insufficient_data
        ):
            return self
        span = {"from": window.start.isoformat(), "to": window.end.isoformat()}
        return TriggerState(
            judged_until=window.end.timestamp(),
            breaches=0 if verdict.breach is None else self.breaches + 1,
            evidence=None if verdict.breach is None else verdict.breach | span,
            armed=self.armed or verdict.healthy,
            reported=verdict.breach is not None or (self.reported and not verdict.healthy),
        )

    def answer(self) -> "TriggerState":
        """Return the state after a run was triggered: it does not fire again until a window is healthy."""
        return replace(self, armed=False, reported=True)


@dataclass(frozen=True)
class TaskTriggerState:
    """The state of a task's triggers: plain JSON by `dataclasses.asdict`. Times are in seconds since 1970."""

    last_triggered: float | None = None
    """When the last run was triggered."""
    last_active: float | None = None
    """When a run was last started or seen active."""
    schedule_start: float | None = None
    """The time after which the schedule's times count."""
    quality: TriggerState = field(default_factory=TriggerState)
    drift: TriggerState = field(default_factory=TriggerState)
    latency: TriggerState = field(default_factory=TriggerState)

    def record_firing(self, trigger: str, evidence: dict[str, Any], at: datetime) -> "TaskTriggerState":
        """Return the state after a run was triggered, even by hand (`manual`); `also` is answered too."""
        answered = {trigger, *evidence.get("also", ())}
        moment = at.timestamp()
        return replace(
            self,
            last_triggered=moment,
            last_active=moment,
            schedule_start=moment if "schedule" in answered else self.schedule_start,
            # The evidence for a fall of quality begins anew with windows that begin after the run.
            quality=TriggerState(judged_until=moment, reported=True) if "quality" in answered else self.quality,
            drift=self.drift.answer() if "drift" in answered else self.drift,
            latency=self.latency.answer() if "latency" in answered else self.latency,
        )

    def merge_reported(self, earlier: "TaskTriggerState") -> "TaskTriggerState":
        """Return this state, with the incidents that only an earlier state knows to be published."""
        names = ("quality", "drift", "latency")
        reported = {
            name: replace(getattr(self, name), reported=True) for name in names if getattr(earlier, name).reported
        }
        return replace(self, **reported)


def restore_state(triggered: Iterable[tuple[datetime, RetrainingTriggered]]) -> TaskTriggerState:
    """Return the state from the log: from the runs of a task, each with its event's time, in order.

    The verdicts on windows are not in the log. Windows are judged again: of quality those that began after a run that
    answered a fall; drift and latency do not fire again before a window is healthy.
    """
    state = TaskTriggerState()
    for time, event in triggered:
        state = state.record_firing(event.trigger, event.evidence, time)
    return state


@dataclass(frozen=True)
class TimeWindow:
    """The times from `start` up to `end`, exclusive."""

    start: datetime
    end: datetime

    @classmethod
    def last_complete(cls, length: timedelta, before: datetime) -> "TimeWindow":
        """Return the last complete window before a time. Windows follow each other without gaps, counted from 1970."""
        count = int(before.timestamp() // length.total_seconds())
        end = datetime.fromtimestamp(count * length.total_seconds(), UTC)
        return cls(end - length, end)

    @property
    def length(self) -> timedelta:
        """Time from start to end."""
        return self.end - self.start

    def previous(self) -> "TimeWindow":
        """Return the window before this one."""
        return TimeWindow(self.start - self.length, self.start)

    def next(self) -> "TimeWindow":
        """Return the window after this one."""
        return TimeWindow(self.end, self.end + self.length)

    def with_value(self, value: Any) -> WindowValue[Any]:
        """Return a value measured in this window."""
        return WindowValue(self.start, self.end, value)


WindowCache = dict[tuple[str, TimeWindow, type[Any]], Any]
"""Computed latencies, samples and qualities, by version, window and type."""
