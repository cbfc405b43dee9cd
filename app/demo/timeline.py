"""What the log says of a task's models, each event in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import complete_event, header_text
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
    ModelEvaluated,
    ModelRegistered,
    ModelTrained,
    RouteChanged,
)
from app.kafka import reader
from app.settings import Settings


@dataclass(frozen=True)
class TimelineEvent:
    """An event of `lifecycle`, or a moment of the story."""

    time: float
    """In seconds since 1970."""
    title: str
    detail: str = ""


async def read_timeline(settings: Settings, task: str) -> Sequence[TimelineEvent]:
    """All that `lifecycle` says of a task, in the order of the log. Raises KafkaError without a broker."""
    held = await reader.fetch_offset_ranges(settings, [topics.LIFECYCLE])
    epochs = {partition.topic: one.topic_id for partition, one in held.items()}
    found = []
    async for records in reader.read_ranges(settings, {tp: (one.begin, one.end) for tp, one in held.items()}, epochs):
        for record in records:
            kind = header_text(record.headers, "ce_type") or RouteChanged.type
            event = complete_event(record.headers, record.value or b"", record.origin, kind)
            said = decode(event.type, event.data)
            if getattr(said, "task", None) == task and isinstance(said, EventData):
                found.append(TimelineEvent(datetime.fromisoformat(event.time).timestamp(), *describe_event(said)))
    return found


def describe_event(event: EventData) -> tuple[str, str]:
    """An event of `lifecycle`: what it is, and what it says."""
    match event:
        case RetrainingTriggered():
            figures = ", ".join(f"{name} {_format_figure(value)}" for name, value in event.evidence.items())
            words = f"trigger: {event.trigger}", figures
        case DatasetBuilt():
            words = "dataset", f"{event.rows} rows, content hash {event.content_hash[:12]}"
        case ModelTrained():
            words = "trained", f"from version {event.parent}, seed {event.seed}"
        case ModelBacktested(backtest=found):
            scores = f"score {_format_figure(found.score)}, served {_format_figure(found.score_served)}"
            words = "backtest", f"{found.rows} rows, {found.outcomes} new to it: {scores}"
        case ModelEvaluated():
            words = "gate", "passed" if event.passed else f"refused: {' '.join(event.reasons)}"
        case ModelRegistered():
            words = f"version {event.model.version} registered", f"by {event.actor}"
        case RouteChanged():
            words = f"{event.action} {_routed_version(event)}".strip(), event.reason
        case RetrainingEnded():
            words = f"run {event.outcome}", event.reason
        case TaskFrozen():
            words = "frozen" if event.frozen else "unfrozen", event.reason
        case _:
            words = _describe_incident(event)
    return words


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


def _format_figure(value: object) -> str:
    if isinstance(value, (list, tuple)):  # the ends of an interval
        return " to ".join(map(_format_figure, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
