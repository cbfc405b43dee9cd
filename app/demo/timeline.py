"""The events in the log about a task's models, each described in a few words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import complete_event, header_text
from app.events.comparison import ModelCompared
from app.events.decoding import decode
from app.events.lifecycle import (
    DriftDetected,
    LatencyRose,
    QualityFell,
    RetrainingEnded,
    RetrainingTriggered,
    TaskFrozen,
)
from app.events.model_events import (
    DatasetBuilt,
    ModelBacktested,
    ModelCardReplaced,
    ModelEvaluated,
    ModelRegistered,
    ModelTrained,
    RouteChanged,
)
from app.kafka import reader
from app.settings import Settings


@dataclass(frozen=True)
class TimelineEvent:
    """An event of `lifecycle`, or a milestone of the scenario."""

    time: float
    """In seconds since 1970."""
    title: str
    detail: str = ""


async def read_timeline(settings: Settings, task: str) -> Sequence[TimelineEvent]:
    """Return the events of `lifecycle` about a task, in the order of the log. Raises KafkaError without a broker."""
    timeline = []
    async for records in reader.read_topic(settings, topics.LIFECYCLE):
        for record in records:
            event_type = header_text(record.headers, "ce_type") or RouteChanged.type
            event = complete_event(record.headers, record.value or b"", record.origin, event_type)
            data = decode(event.type, event.data)
            if getattr(data, "task", None) == task and isinstance(data, EventData):
                timeline.append(TimelineEvent(datetime.fromisoformat(event.time).timestamp(), *describe_event(data)))
    return timeline


def describe_event(event: EventData) -> tuple[str, str]:
    """Return a title and the details of an event of `lifecycle`."""
    match event:
        case RetrainingTriggered():
            evidence = ", ".join(f"{name} {_format_value(value)}" for name, value in event.evidence.items())
            description = f"trigger: {event.trigger}", evidence
        case DatasetBuilt():
            description = "dataset", f"{event.rows} rows, content hash {event.content_hash[:12]}"
        case ModelTrained():
            description = "trained", f"from version {event.parent}, seed {event.seed}"
        case ModelBacktested(backtest=backtest):
            scores = f"score {_format_value(backtest.score)}, served {_format_value(backtest.score_served)}"
            description = "backtest", f"{backtest.rows} rows, {backtest.outcomes} new to it: {scores}"
        case ModelCompared():
            description = "compared", f"with version {event.champion}, over time and by slice"
        case ModelEvaluated():
            description = "gate", "passed" if event.passed else f"refused: {' '.join(event.reasons)}"
        case ModelRegistered():
            description = f"version {event.model.version} registered", f"by {event.actor}"
        case ModelCardReplaced():
            description = f"card of version {event.model.version} replaced", f"by {event.actor}"
        case RouteChanged():
            description = f"{event.action} {_routed_version(event)}".strip(), event.reason
        case RetrainingEnded():
            description = f"run {event.outcome}", event.reason
        case TaskFrozen():
            description = "frozen" if event.frozen else "unfrozen", event.reason
        case _:
            description = _describe_incident(event)
    return description


def _describe_incident(event: EventData) -> tuple[str, str]:
    match event:
        case QualityFell():
            return "quality fell", f"{event.score:.3f}, reference {event.reference:.3f}"
        case DriftDetected():
            return "drift", f"of {event.what}: {event.detector} {event.statistic:.3f}, threshold {event.threshold:.3f}"
        case LatencyRose():
            return "latency rose", f"p99 {event.p99_ms:.0f} ms, bound {event.bound_ms:.0f} ms"
    return event.type, ""


def _routed_version(change: RouteChanged) -> str:
    match change.action:
        case "canary":
            return f"{change.canary} at {change.canary_share:.0%}"
        case "shadow":
            return ", ".join(change.shadows)
        case "promote":
            return change.champion
    return ""


def _format_value(value: object) -> str:
    if isinstance(value, (list, tuple)):  # the ends of an interval
        return " to ".join(map(_format_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
