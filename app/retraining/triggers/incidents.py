"""What is said in the log once a window is bad, until one is well: quality fell, drift, latency rose. Pure.

It is said whether or not a run can begin then. Several processes look at once, each by itself: what they say of one
window has one id. A process that has just begun knows of no window before its first, and may say it of that one again.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import Record, format_rfc3339
from app.events.lifecycle import DriftDetected, LatencyRose, QualityFell
from app.monitoring.quality import QualityEstimate
from app.retraining.run_events import SOURCE
from app.retraining.triggers.observation import Observation, TaskTriggerState, TriggerState
from app.settings.triggers import TriggerSettings

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, SOURCE)
_DRIFT_SOURCES = ("inputs", "outputs", "labels")


@dataclass(frozen=True)
class Incident:
    """What is to be said, and of what: the same words are of the same onset."""

    event: QualityFell | DriftDetected | LatencyRose
    key: str
    time: float
    """The end of the window, in seconds since 1970."""

    @property
    def record(self) -> Record:
        """As it goes into the log."""
        unique = str(uuid.uuid5(_NAMESPACE, f"{self.event.type}/{self.key}"))
        time = format_rfc3339(self.time * 1000)
        return self.event.to_record(topics.LIFECYCLE, self.event.task.encode(), id=unique, source=SOURCE, time=time)


def detect_incidents(
    model: ModelRef, before: TaskTriggerState, after: TaskTriggerState, seen: Observation, triggers: TriggerSettings
) -> Iterator[Incident]:
    """What a look at a champion has found to be newly bad: `after` is the state that it left."""
    of = f"{model.name}/{model.version}"
    if seen.quality is not None and _opened(before.quality, after.quality):
        fell = _quality_fell(model, seen.quality.value, seen.reference, triggers)
        yield Incident(fell, f"{of}/{seen.quality.start.isoformat()}", after.quality.judged_until)
    if seen.drift is not None and _opened(before.drift, after.drift):
        for one in seen.drift.value:
            whose, _, feature = one.feature.partition(".")
            if one.drifted and whose in _DRIFT_SOURCES:
                drift = DriftDetected(
                    task=model.name,
                    model=model,
                    what=whose,
                    feature=feature,
                    detector=one.detector,
                    statistic=one.statistic,
                    threshold=one.threshold,
                    events=one.events,
                )
                yield Incident(drift, f"{of}/{one.feature}/{seen.drift.start.isoformat()}", after.drift.judged_until)
    if seen.latency is not None and _opened(before.latency, after.latency):
        found, bound = seen.latency.value, triggers.latency_max_p99_ms
        assert bound is not None  # or nothing had been bad
        rose = LatencyRose(task=model.name, p99_ms=found.p99_ms, bound_ms=bound, events=found.events)
        yield Incident(rose, f"{of}/{seen.latency.start.isoformat()}", after.latency.judged_until)


def _opened(before: TriggerState, after: TriggerState) -> bool:
    return after.reported and not before.reported


def _quality_fell(
    model: ModelRef, found: QualityEstimate, reference: float | None, triggers: TriggerSettings
) -> QualityFell:
    compared = reference if reference is not None else triggers.quality_min_score
    assert found.score is not None and compared is not None  # or nothing had been bad
    return QualityFell(
        task=model.name,
        model=model,
        score=found.score,
        interval=found.interval(),
        reference=compared,
        labelled=found.labelled,
        coverage=found.coverage,
    )
