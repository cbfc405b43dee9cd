from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client import generate_latest

from app.events.lifecycle import RetrainingEnded, RetrainingTriggered
from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import ScoredOutcome, estimate_quality
from app.registry.routes import Route
from app.retraining.triggers.observation import LatencyStats, Observation, WindowValue
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from tests.support.fake_registry import FakeSubscription, make_route_change
from tests.support.tasks import Letters

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1)


def watching(seen: dict[str, tuple[str, Observation]] | None = None) -> tuple[StateMetrics, FakeSubscription]:
    """What watches the task `letters`, and its registry."""
    following = FakeSubscription(Letters())
    controller: Any = SimpleNamespace(
        models=following.registry.tasks, trigger_service=SimpleNamespace(observations=seen or {})
    )
    return StateMetrics(Settings(), controller), following


def window(found: Any) -> WindowValue[Any]:
    return WindowValue(START, END, found)


def value(watching: StateMetrics, name: str, **labels: str) -> float | None:
    return watching.registry.get_sample_value(f"hindsight_{name}", labels)


def test_the_route_has_a_share_for_each_version_and_none_for_what_went() -> None:
    found, following = watching()
    following.publish(make_route_change(champion="1", canary="2", canary_share=0.25, shadows=("3",)))
    of = {"task": "letters"}
    assert value(found, "route_share", **of, version="1", role="champion") == 0.75
    assert value(found, "route_share", **of, version="2", role="canary") == 0.25
    assert value(found, "route_share", **of, version="3", role="shadow") == 0
    following.publish(make_route_change(champion="2", replaced="1"))
    assert value(found, "route_share", **of, version="2", role="champion") == 1
    assert following.registry.tasks["letters"].route == Route("2")
    assert b'version="1"' not in generate_latest(found.registry)


def test_runs_are_counted_by_their_end() -> None:
    found, following = watching()
    assert value(found, "retraining_runs_total", task="letters", outcome="failed") == 0
    run = {"task": "letters", "run_id": "r", "trigger": "manual", "evidence": {}, "champion": "1"}
    following.publish(RetrainingTriggered.model_validate(run))
    assert value(found, "retraining_active", task="letters") == 1
    following.publish(RetrainingEnded(task="letters", run_id="r", outcome="failed", reason="test"))
    assert value(found, "retraining_active", task="letters") == 0
    assert value(found, "retraining_runs_total", task="letters", outcome="failed") == 1


def test_windows_say_score_interval_coverage_and_drift() -> None:
    chance = np.random.default_rng(0)
    judged = [ScoredOutcome(START, float(score), "audit", 0.5) for score in chance.integers(0, 2, 100)]
    findings = [DriftFinding("ks", "length", 0.3, 0.1, 500), DriftFinding("ks", "confidence", 0.05, 0.1, 500)]
    seen = Observation(
        labelled=7,
        quality=window(estimate_quality(judged, 200)),
        reference=0.9,
        drift=window(findings),
        latency=window(LatencyStats(120.0, 500)),
    )
    found, _ = watching({"letters": ("1", seen)})
    of = {"task": "letters", "version": "1"}
    score, lower, upper = (value(found, f"quality_score{end}", **of) for end in ("", "_lower", "_upper"))
    assert score is not None and lower is not None and upper is not None
    assert lower < score < upper
    assert value(found, "quality_reference", **of) == 0.9
    assert value(found, "quality_coverage_ratio", **of) == 0.5
    assert value(found, "quality_answered_ratio", **of) == 1
    assert value(found, "quality_window_end_timestamp_seconds", **of) == END.timestamp()
    assert value(found, "labelled_events", task="letters") == 7
    assert value(found, "window_latency_p99_seconds", **of) == 0.12
    assert value(found, "drift_statistic", **of, feature="length", detector="ks") == 0.3
    assert value(found, "drift_threshold", **of, feature="length", detector="ks") == 0.1
    assert value(found, "drift_detected", **of, feature="length", detector="ks") == 1
    assert value(found, "drift_detected", **of, feature="confidence", detector="ks") == 0


def test_a_window_without_labels_has_no_score() -> None:
    found, _ = watching({"letters": ("1", Observation(quality=window(estimate_quality([], 10))))})
    assert value(found, "quality_coverage_ratio", task="letters", version="1") == 0
    assert value(found, "quality_score", task="letters", version="1") is None


def test_what_is_expected_without_labels_is_told_with_its_past_error() -> None:
    seen = Observation(expected=window(PerformanceEstimate(0.8, 0.7, 0.9, 100.0, error=0.03, windows=4)))
    found, _ = watching({"letters": ("1", seen)})
    ends = ("", "_lower", "_upper", "_error")
    told = [value(found, f"quality_expected{end}", task="letters", version="1") for end in ends]
    assert told == [0.8, 0.7, 0.9, 0.03]


def test_lag_is_of_a_group_and_a_topic_and_of_the_topics_task() -> None:
    found, _ = watching()
    found.lags = {"hindsight-archive": {"letters.requests": 5, "lifecycle": 2}}
    group = {"group": "hindsight-archive"}
    assert value(found, "consumer_lag_events", **group, topic="letters.requests", task="letters") == 5
    assert value(found, "consumer_lag_events", **group, topic="lifecycle", task="") == 2
