from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client import generate_latest

from app.events.lifecycle import RetrainingEnded, RetrainingTriggered
from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.progress import ProgressMonitor
from app.monitoring.quality import ScoredOutcome, estimate_quality
from app.monitoring.quality_detector import QualityReference
from app.registry.routes import Route
from app.retraining.triggers.observation import LatencyStats, Observation, WindowValue
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from tests.support.fake_registry import FakeSubscription, make_route_change
from tests.support.tasks import Letters

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1)


def create_metrics(
    observations: dict[str, tuple[str, Observation]] | None = None,
) -> tuple[StateMetrics, FakeSubscription]:
    """Return the metrics of the task `letters`, and its registry."""
    subscription = FakeSubscription(Letters())
    controller: Any = SimpleNamespace(
        models=subscription.registry.tasks, trigger_service=SimpleNamespace(observations=observations or {})
    )
    return StateMetrics(Settings(), controller, ProgressMonitor(Settings())), subscription


def window(value: Any) -> WindowValue[Any]:
    return WindowValue(START, END, value)


def value(metrics: StateMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"hindsight_{name}", labels)


def test_each_version_of_the_route_has_a_share_and_removed_ones_have_none() -> None:
    metrics, subscription = create_metrics()
    subscription.publish(make_route_change(champion="1", canary="2", canary_share=0.25, shadows=("3",)))
    labels = {"task": "letters"}
    assert value(metrics, "route_share", **labels, version="1", role="champion") == 0.75
    assert value(metrics, "route_share", **labels, version="2", role="canary") == 0.25
    assert value(metrics, "route_share", **labels, version="3", role="shadow") == 0
    subscription.publish(make_route_change(champion="2", replaced="1"))
    assert value(metrics, "route_share", **labels, version="2", role="champion") == 1
    assert subscription.registry.tasks["letters"].route == Route("2")
    assert b'version="1"' not in generate_latest(metrics.registry)


def test_runs_are_counted_by_their_outcome() -> None:
    metrics, subscription = create_metrics()
    assert value(metrics, "retraining_runs_total", task="letters", outcome="failed") == 0
    run = {"task": "letters", "run_id": "r", "trigger": "manual", "evidence": {}, "champion": "1"}
    subscription.publish(RetrainingTriggered.model_validate(run))
    assert value(metrics, "retraining_active", task="letters") == 1
    subscription.publish(RetrainingEnded(task="letters", run_id="r", outcome="failed", reason="test"))
    assert value(metrics, "retraining_active", task="letters") == 0
    assert value(metrics, "retraining_runs_total", task="letters", outcome="failed") == 1


def test_an_observation_gives_score_interval_coverage_and_drift() -> None:
    rng = np.random.default_rng(0)
    outcomes = [ScoredOutcome(START, float(score), "audit", 0.5) for score in rng.integers(0, 2, 100)]
    findings = [DriftFinding("ks", "length", 0.3, 0.1, 500), DriftFinding("ks", "confidence", 0.05, 0.1, 500)]
    observation = Observation(
        labelled=7,
        quality=window(estimate_quality(outcomes, 200)),
        reference=QualityReference(0.9),
        drift=window(findings),
        latency=window(LatencyStats(120.0, 500)),
    )
    metrics, _ = create_metrics({"letters": ("1", observation)})
    labels = {"task": "letters", "version": "1"}
    score, lower, upper = (value(metrics, f"quality_score{suffix}", **labels) for suffix in ("", "_lower", "_upper"))
    assert score is not None and lower is not None and upper is not None
    assert lower < score < upper
    assert value(metrics, "quality_reference", **labels) == 0.9
    assert value(metrics, "quality_coverage_ratio", **labels) == 0.5
    assert value(metrics, "quality_answered_ratio", **labels) == 1
    assert value(metrics, "quality_window_end_timestamp_seconds", **labels) == END.timestamp()
    assert value(metrics, "labelled_events", task="letters") == 7
    assert value(metrics, "window_latency_p99_seconds", **labels) == 0.12
    assert value(metrics, "drift_statistic", **labels, feature="length", detector="ks") == 0.3
    assert value(metrics, "drift_threshold", **labels, feature="length", detector="ks") == 0.1
    assert value(metrics, "drift_detected", **labels, feature="length", detector="ks") == 1
    assert value(metrics, "drift_detected", **labels, feature="confidence", detector="ks") == 0


def test_a_window_without_labels_has_no_score() -> None:
    metrics, _ = create_metrics({"letters": ("1", Observation(quality=window(estimate_quality([], 10))))})
    assert value(metrics, "quality_coverage_ratio", task="letters", version="1") == 0
    assert value(metrics, "quality_score", task="letters", version="1") is None


def test_the_expected_score_has_its_interval_and_its_past_error() -> None:
    observation = Observation(expected=window(PerformanceEstimate(0.8, 0.7, 0.9, 100.0, error=0.03, windows=4)))
    metrics, _ = create_metrics({"letters": ("1", observation)})
    suffixes = ("", "_lower", "_upper", "_error")
    values = [value(metrics, f"quality_expected{suffix}", task="letters", version="1") for suffix in suffixes]
    assert values == [0.8, 0.7, 0.9, 0.03]


def test_lag_has_the_group_the_topic_and_the_topics_task() -> None:
    metrics, _ = create_metrics()
    metrics.lags = {"hindsight-archive": {"letters.requests": 5, "lifecycle": 2}}
    group = {"group": "hindsight-archive"}
    assert value(metrics, "consumer_lag_events", **group, topic="letters.requests", task="letters") == 5
    assert value(metrics, "consumer_lag_events", **group, topic="lifecycle", task="") == 2
