"""What the triggers look at, and what they remember. Plain data: no clock, no streams."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from app.events.lifecycle import RetrainingTriggered
from app.monitoring.drift import Finding
from app.monitoring.performance_estimation import Expected
from app.monitoring.quality import Quality

T = TypeVar("T")


@dataclass(frozen=True)
class Window(Generic[T]):
    """What was found between two moments."""

    start: datetime
    end: datetime
    found: T


@dataclass(frozen=True)
class Latency:
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
class Seen:
    """What is to be seen of a task. Of windows it is the last that is complete; None where there is none yet."""

    labelled: int = 0
    """Labelled events since the last dataset."""
    quality: Window[Quality] | None = None
    """A window is complete once its feedback has had its time."""
    reference: float | None = None
    """The champion's score when it was judged by the gate."""
    expected: Window[Expected] | None = None
    """What the last window is expected to score, before its feedback has had its time."""
    drift: Window[Sequence[Finding]] | None = None
    latency: Window[Latency] | None = None
    alerts: Sequence[Alert] = ()
    running: bool = False
    """Whether a run is active: who holds the task's lease knows."""
    frozen: bool = False
    """Whether somebody wants the task left as it is."""


@dataclass(frozen=True)
class Verdict:
    """What a window says. One that is neither bad nor well is in between: what has fired stays as it is."""

    bad: dict[str, Any] | None = None
    """The figures, if they are beyond the bound."""
    well: bool = False
    """Whether a trigger that has fired may arm again."""
    lacks: tuple[str, ...] = ()
    """Why the window says nothing at all, in sentences."""


@dataclass(frozen=True)
class Watch:
    """What a trigger remembers of its windows."""

    until: float = 0.0
    """The end of the last window that it judged, in seconds since 1970."""
    bad: int = 0
    """How many were bad in a row, up to the last."""
    evidence: dict[str, Any] | None = None
    """The figures of the last, if that was bad."""
    armed: bool = True
    """False once it has fired, until a window is well again."""
    said: bool = False
    """Whether the log was told that it is bad: until a window is well again."""

    def after(self, window: Window[T] | None, judge: Callable[[T], Verdict]) -> "Watch":
        """Having looked at a window. It counts if it says something, and has no event that was already judged."""
        if window is None or window.start.timestamp() < self.until or (verdict := judge(window.found)).lacks:
            return self
        span = {"from": window.start.isoformat(), "to": window.end.isoformat()}
        return Watch(
            until=window.end.timestamp(),
            bad=0 if verdict.bad is None else self.bad + 1,
            evidence=None if verdict.bad is None else verdict.bad | span,
            armed=self.armed or verdict.well,
            said=verdict.bad is not None or (self.said and not verdict.well),
        )


@dataclass(frozen=True)
class State:
    """What the triggers of a task remember: plain JSON by `dataclasses.asdict`. Times are in seconds since 1970."""

    began: float | None = None
    """When the last run was triggered."""
    ran: float | None = None
    """When a run was last seen to begin, or to be active."""
    scheduled: float | None = None
    """From when on the schedule's times count."""
    quality: Watch = field(default_factory=Watch)
    drift: Watch = field(default_factory=Watch)
    latency: Watch = field(default_factory=Watch)

    def fired(self, trigger: str, evidence: dict[str, Any], at: datetime) -> "State":
        """After a run was triggered, be it by people (`manual`): it answers all that was due, what is in `also` too."""
        answered = {trigger, *evidence.get("also", ())}
        moment = at.timestamp()
        watches = {name: getattr(self, name) for name in ("quality", "drift", "latency") if name in answered}
        return replace(
            self,
            last_triggered=moment,
            last_active=moment,
            schedule_start=moment if "schedule" in answered else self.scheduled,
            **{name: replace(watch, armed=False, reported=True) for name, watch in watches.items()},
        )

    def knowing(self, earlier: "State") -> "State":
        """This one, with what only an earlier one knows the log was told."""
        watches = ("quality", "drift", "latency")
        said = {name: replace(getattr(self, name), reported=True) for name in watches if getattr(earlier, name).reported}
        return replace(self, **said)


def restored(triggered: Iterable[tuple[datetime, RetrainingTriggered]]) -> State:
    """The state as the log has it: from the runs of a task, each with its event's time, in their order.

    What only windows said is not in it. They are judged anew, and none of those that fired does so again before a
    window is well.
    """
    state = State()
    for time, event in triggered:
        state = state.fired(event.trigger, event.evidence, time)
    return state


@dataclass(frozen=True)
class Span:
    """From one moment up to, not including, another."""

    start: datetime
    end: datetime

    @classmethod
    def last(cls, length: timedelta, before: datetime) -> "Span":
        """The last whole one before a moment: spans follow each other without gaps, counted from 1970."""
        whole = int(before.timestamp() // length.total_seconds())
        end = datetime.fromtimestamp(whole * length.total_seconds(), UTC)
        return cls(end - length, end)

    def window(self, found: Any) -> Window[Any]:
        """What was found in it."""
        return Window(self.start, self.end, found)
