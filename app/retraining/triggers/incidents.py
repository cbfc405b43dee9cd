"""Incidents: quality fell, drift, latency rose. Pure.

An incident is published once when a window breaches its bound, and not again until a window is healthy, whether or not
a run can start then. Several processes detect incidents independently, so the event id depends on the window only. A
process that has just started does not know earlier windows, and may publish an incident again.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import Record, format_rfc3339
from app.events.lifecycle import DriftDetected, LatencyRose, QualityFell
from app.monitoring.quality import QualityEstimate
from app.monitoring.quality_detector import QualityReference
from app.retraining.run_events import SOURCE
from app.retraining.triggers.observation import Observation, TaskTriggerState, TriggerState
from app.settings.triggers import TriggerSettings

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, SOURCE)
_DRIFT_SOURCES = ("inputs", "outputs", "labels")


@dataclass(frozen=True)
class Incident:
    """An incident and its key: the same key means the same incident."""

    event: QualityFell | DriftDetected | LatencyRose
    key: str
    time: float
    """The end of the window, in seconds since 1970."""

    @property
    def record(self) -> Record:
        """The record for the log."""
        event_id = str(uuid.uuid5(_NAMESPACE, f"{self.event.type}/{self.key}"))
        time = format_rfc3339(self.time * 1000)
        return self.event.to_record(topics.LIFECYCLE, self.event.task.encode(), id=event_id, source=SOURCE, time=time)


def detect_incidents(
    model: ModelRef, before: TaskTriggerState, after: TaskTriggerState, seen: Observation, triggers: TriggerSettings
) -> Iterator[Incident]:
    """Yield the incidents that an observation of a champion opens; `after` is the state after it."""
    version = f"{model.name}/{model.version}"
    if seen.quality is not None and _opened(before.quality, after.quality):
        fell = _quality_fell(model, seen.quality.value, seen.reference, triggers)
        yield Incident(fell, f"{version}/{seen.quality.start.isoformat()}", seen.quality.end.timestamp())
    if seen.drift is not None and _opened(before.drift, after.drift):
        for finding in seen.drift.value:
            source, _, feature = finding.feature.partition(".")
            if finding.drifted and source in _DRIFT_SOURCES:
                drift = DriftDetected(
                    task=model.name,
                    model=model,
                    what=source,
                    feature=feature,
                    detector=finding.detector,
                    statistic=finding.statistic,
                    threshold=finding.threshold,
                    events=finding.events,
                )
                yield Incident(
                    drift, f"{version}/{finding.feature}/{seen.drift.start.isoformat()}", seen.drift.end.timestamp()
                )
    if seen.latency is not None and _opened(before.latency, after.latency):
        latency, bound = seen.latency.value, triggers.latency_max_p99_ms
        assert bound is not None  # because the window breaches it
        rose = LatencyRose(task=model.name, p99_ms=latency.p99_ms, bound_ms=bound, events=latency.events)
        yield Incident(rose, f"{version}/{seen.latency.start.isoformat()}", seen.latency.end.timestamp())


def _opened(before: TriggerState, after: TriggerState) -> bool:
    return after.reported and not before.reported


def _quality_fell(
    model: ModelRef, quality: QualityEstimate, reference: QualityReference | None, triggers: TriggerSettings
) -> QualityFell:
    compared = reference.score if reference is not None else triggers.quality_min_score
    assert quality.score is not None and compared is not None  # because the window breaches a bound
    return QualityFell(
        task=model.name,
        model=model,
        score=quality.score,
        interval=quality.interval(),
        reference=compared,
        labelled=quality.labelled,
        coverage=quality.coverage,
    )
