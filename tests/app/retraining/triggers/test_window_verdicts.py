"""Verdicts on several windows."""

from dataclasses import replace

from app.monitoring.quality_detector import QualityReference
from app.retraining.triggers.evaluate import TaskTriggerState, evaluate
from tests.support.triggers import DRIFT, HOUR, NOON, QUALITY, drift_at, explain_trigger, fired_triggers, quality_at


def test_drift_asks_for_labels_before_it_starts_a_run() -> None:
    state, firings = evaluate(TaskTriggerState(), drift_at(0, 0.2), NOON + HOUR, DRIFT)
    assert firings == []
    assert state.drift.reported
    assert "review the task's audit" in explain_trigger(drift_at(0, 0.2), DRIFT, "drift", state).missing[-1]
    assert "audit" not in explain_trigger(drift_at(0, 0.05), DRIFT, "drift").missing[-1]


def test_a_slow_fall_fires_by_the_windows_before_it() -> None:
    slow = [quality_at(hour, 0.882) for hour in range(8)]
    alone = [replace(seen, reference=QualityReference(0.89)) for seen in slow]
    together = [
        replace(seen, quality_history=[one.quality.value for one in alone[:hour] if one.quality])
        for hour, seen in enumerate(alone)
    ]
    assert fired_triggers(alone, QUALITY) == [None] * 8
    assert "quality" in fired_triggers(together, QUALITY)
