"""What the triggers look at, and what they remember. Plain data: no clock, no streams."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from app.events.lifecycle import RetrainingTriggered
from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate

T = TypeVar("T")


@dataclass(frozen=True)
class WindowValue(Generic[T]):
    """What was found between two moments."""

    start: datetime
    end: datetime
    value: T


@dataclass(frozen=True)
class LatencyStats:
    """How long requests waited for their answers in a window."""

    p99_ms: float
    """The 99th percentile, in milliseconds."""
    events: int
    """How many answers it is of."""


@dataclass(frozen=True)
class Alert:
    """An alert of Alertmanager's that fires now, for the task."""

    name: str
    """Its label `alertname`."""
    started: datetime
    """Its `startsAt`."""


@dataclass(frozen=True)
class Observation:
    """What is to be seen of a task. Of windows it is the last that is complete; None where there is none yet."""

    labelled: int = 0
    """Labelled events since the last dataset."""
    quality: WindowValue[QualityEstimate] | None = None
    """A window is complete once its feedback has had its time."""
    reference: float | None = None
    """The champion's score when it was judged by the gate."""
    expected: WindowValue[PerformanceEstimate] | None = None
    """What the last window is expected to score, before its feedback has had its time."""
    drift: WindowValue[Sequence[DriftFinding]] | None = None
    latency: WindowValue[LatencyStats] | None = None
    alerts: Sequence[Alert] = ()
    running: bool = False
    """Whether a run is active: who holds the task's lease knows."""
    frozen: bool = False
    """Whether somebody wants the task left as it is."""


@dataclass(frozen=True)
class WindowVerdict:
    """What a window says. One that is neither bad nor well is in between: what has fired stays as it is."""

    breach: dict[str, Any] | None = None
    """The figures, if they are beyond the bound."""
    healthy: bool = False
    """Whether a trigger that has fired may arm again."""
    insufficient_data: tuple[str, ...] = ()
    """Why the window says nothing at all, in sentences."""


@dataclass(frozen=True)
class TriggerState:
    """What a trigger remembers of its windows."""

    judged_until: float = 0.0
    """The end of the last window that it judged, in seconds since 1970."""
    breaches: int = 0
    """How many were bad in a row, up to the last."""
    evidence: dict[str, Any] | None = None
    """The figures of the last, if that was bad."""
    armed: bool = True
    """False once it has fired, until a window is well again."""
    reported: bool = False
    """Whether the log was told that it is bad: until a window is well again."""

    def apply(self, window: WindowValue[T] | None, judge: Callable[[T], WindowVerdict]) -> "TriggerState":
        """Having looked at a window. It counts if it says something, and has no event that was already judged."""
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


@dataclass(frozen=True)
class TaskTriggerState:
    """What the triggers of a task remember: plain JSON by `dataclasses.asdict`. Times are in seconds since 1970."""

    last_triggered: float | None = None
    """When the last run was triggered."""
    last_active: float | None = None
    """When a run was last seen to begin, or to be active."""
    schedule_start: float | None = None
    """From when on the schedule's times count."""
    quality: TriggerState = field(default_factory=TriggerState)
    drift: TriggerState = field(default_factory=TriggerState)
    latency: TriggerState = field(default_factory=TriggerState)

    def record_firing(self, trigger: str, evidence: dict[str, Any], at: datetime) -> "TaskTriggerState":
        """After a run was triggered, be it by people (`manual`): it answers all that was due, what is in `also` too."""
        answered = {trigger, *evidence.get("also", ())}
        moment = at.timestamp()
        watches = {name: getattr(self, name) for name in ("quality", "drift", "latency") if name in answered}
        return replace(
            self,
            last_triggered=moment,
            last_active=moment,
            schedule_start=moment if "schedule" in answered else self.schedule_start,
            **{name: replace(watch, armed=False, reported=True) for name, watch in watches.items()},
        )

    def merge_reported(self, earlier: "TaskTriggerState") -> "TaskTriggerState":
        """This one, with what only an earlier one knows the log was told."""
        watches = ("quality", "drift", "latency")
        said = {
            name: replace(getattr(self, name), reported=True) for name in watches if getattr(earlier, name).reported
        }
        return replace(self, **said)


def restore_state(triggered: Iterable[tuple[datetime, RetrainingTriggered]]) -> TaskTriggerState:
    """The state as the log has it: from the runs of a task, each with its event's time, in their order.

    What only windows said is not in it. They are judged anew, and none of those that fired does so again before a
    window is well.
    """
    state = TaskTriggerState()
    for time, event in triggered:
        state = state.record_firing(event.trigger, event.evidence, time)
    return state


@dataclass(frozen=True)
class TimeWindow:
    """From one moment up to, not including, another."""

    start: datetime
    end: datetime

    @classmethod
    def last_complete(cls, length: timedelta, before: datetime) -> "TimeWindow":
        """The last whole one before a moment: spans follow each other without gaps, counted from 1970."""
        whole = int(before.timestamp() // length.total_seconds())
        end = datetime.fromtimestamp(whole * length.total_seconds(), UTC)
        return cls(end - length, end)

    def with_value(self, found: Any) -> WindowValue[Any]:
        """What was found in it."""
        return WindowValue(self.start, self.end, found)
