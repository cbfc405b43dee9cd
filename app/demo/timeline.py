"""What the log says of a task's models, each event in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.events import topics
from app.events.base import Data
from app.events.cloudevents import complete, header
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
class Noted:
    """An event of `lifecycle`, or a moment of the story."""

    time: float
    """In seconds since 1970."""
    title: str
    detail: str = ""


async def chronicle(settings: Settings, task: str) -> Sequence[Noted]:
    """All that `lifecycle` says of a task, in the order of the log. Raises KafkaError without a broker."""
    held = await reader.held(settings, [topics.LIFECYCLE])
    epochs = {partition.topic: one.epoch for partition, one in held.items()}
    found = []
    async for records in reader.read(settings, {tp: (one.begin, one.end) for tp, one in held.items()}, epochs):
        for record in records:
            kind = header(record.headers, "ce_type") or RouteChanged.type
            event = complete(record.headers, record.value or b"", record.origin, kind)
            said = decode(event.type, event.data)
            if getattr(said, "task", None) == task and isinstance(said, Data):
                found.append(Noted(datetime.fromisoformat(event.time).timestamp(), *words(said)))
    return found


def words(said: Data) -> tuple[str, str]:
    """An event of `lifecycle`: what it is, and what it says."""
    match said:
        case RetrainingTriggered():
            figures = ", ".join(f"{name} {_figure(value)}" for name, value in said.evidence.items())
            words = f"trigger: {said.trigger}", figures
        case DatasetBuilt():
            words = "dataset", f"{said.rows} rows, content hash {said.content_hash[:12]}"
        case ModelTrained():
            words = "trained", f"from version {said.parent}, seed {said.seed}"
        case ModelBacktested(backtest=found):
            scores = f"score {_figure(found.score)}, served {_figure(found.score_served)}"
            words = "backtest", f"{found.rows} rows, {found.outcomes} new to it: {scores}"
        case ModelEvaluated():
            words = "gate", "passed" if said.passed else f"refused: {' '.join(said.reasons)}"
        case ModelRegistered():
            words = f"version {said.model.version} registered", f"by {said.actor}"
        case RouteChanged():
            words = f"{said.action} {_whom(said)}".strip(), said.reason
        case RetrainingEnded():
            words = f"run {said.outcome}", said.reason
        case TaskFrozen():
            words = "frozen" if said.frozen else "unfrozen", said.reason
        case _:
            words = _watched(said)
    return words


def _watched(said: Data) -> tuple[str, str]:
    match said:
        case QualityFell():
            return "quality fell", f"{said.score:.3f}, reference {said.reference:.3f}"
        case DriftDetected():
            return "drift", f"of {said.what}: {said.detector} {said.statistic:.3f}, threshold {said.threshold:.3f}"
        case LatencyRose():
            return "latency rose", f"p99 {said.p99_ms:.0f} ms, bound {said.bound_ms:.0f} ms"
    return said.type, ""


def _whom(said: RouteChanged) -> str:
    match said.action:
        case "canary":
            return f"{said.canary} at {said.canary_share:.0%}"
        case "shadow":
            return ", ".join(said.shadows)
        case "promote":
            return said.champion
    return ""


def _figure(value: object) -> str:
    if isinstance(value, (list, tuple)):  # the ends of an interval
        return " to ".join(map(_figure, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
