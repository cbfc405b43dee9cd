"""Observations of a task's triggers, hour by hour, and what fires at them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from app.monitoring.drift import DriftFinding
from app.monitoring.quality import ScoredOutcome, estimate_quality
from app.monitoring.quality_detector import QualityReference
from app.retraining.triggers.evaluate import Observation, TriggerExplanation, TriggerSettings, evaluate, explain
from app.retraining.triggers.observation import LatencyStats, TaskTriggerState, WindowValue

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OFF = TriggerSettings(
    min_new_labels=None,
    quality_alpha=None,
    drift_windows=None,
    alerts=None,
    cooldown_seconds=0.0,
    quality_min_answered_share=0.5,
)
QUALITY = OFF.model_copy(update={"quality_alpha": 1e-4, "quality_tolerance": 0.0})
BOUND = OFF.model_copy(update={"quality_min_score": 0.8})
DRIFT = OFF.model_copy(update={"drift_windows": 2})
LATENCY = OFF.model_copy(update={"latency_max_p99_ms": 50.0})
VOLUME = OFF.model_copy(update={"min_new_labels": 100})
NIGHTLY = OFF.model_copy(update={"schedule": "0 3 * * *"})
ALERT = OFF.model_copy(update={"alerts": ("HindsightRetrain",)})


def quality_at(hour: int, score: float, labelled: int = 400, answered: float = 1.0) -> Observation:
    """Return an hour's quality with scores 0.05 above and below; the reference is 0.9."""
    scores = score + np.where(np.arange(labelled) % 2, 0.05, -0.05)
    found = estimate_quality([ScoredOutcome(NOON, one, "audit", 0.02) for one in scores.tolist()], labelled * 50)
    return Observation(quality=window(hour, replace(found, answered=answered)), reference=QualityReference(0.9))


def window(hour: int, found: Any) -> WindowValue[Any]:
    return WindowValue(NOON + hour * HOUR, NOON + (hour + 1) * HOUR, found)


def drift_at(hour: int, statistic: float) -> Observation:
    return Observation(drift=window(hour, [DriftFinding("ks", "outputs.confidence", statistic, 0.1, 500)]))


def latency_at(hour: int, p99: float, events: int = 1000) -> Observation:
    return Observation(latency=window(hour, LatencyStats(p99, events)))


def fired_triggers(
    looks: Sequence[Observation], triggers: TriggerSettings, every: timedelta = HOUR
) -> list[str | None]:
    """Return the trigger that fires at each look."""
    state, fired = TaskTriggerState(), list[str | None]()
    for number, seen in enumerate(looks):
        state, firings = evaluate(state, seen, NOON + (number + 1) * every, triggers)
        fired.append(firings[0].trigger if firings else None)
    return fired


def explain_trigger(
    seen: Observation, triggers: TriggerSettings, trigger: str, state: TaskTriggerState | None = None
) -> TriggerExplanation:
    found = {one.trigger: one for one in explain(state or TaskTriggerState(), seen, NOON + 2 * HOUR, triggers)}
    return found[trigger]  # type: ignore[index]
