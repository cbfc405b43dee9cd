from datetime import UTC, datetime

from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import ScoredOutcome, estimate_quality
from app.monitoring.task_status import TaskStatus
from app.pages.overview.formatting import (
    NOT_ANSWERING,
    format_blocker,
    format_drift,
    format_expected_quality,
    format_interval,
    format_rate,
    format_score,
    format_waiting,
    sparkline_svg,
)
from app.pages.overview.poller import TaskOverview
from app.pages.overview.throughput import BUCKET_COUNT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_interval_is_shown_from_enough_labels_on() -> None:
    few, many = ([ScoredOutcome(NOON, number % 2, "audit", 0.1) for number in range(count)] for count in (4, 100))
    assert format_interval(None) == "not measured yet"
    assert format_interval(estimate_quality(few, 40)) == "4 audit labels: too few"
    assert (
        format_score(estimate_quality(few, 40)) == format_score(estimate_quality([], 40)) == format_score(None) == "–"
    )
    assert format_interval(estimate_quality(many, 1000)).endswith("100 labels")


def test_drift_names_the_drifted_features() -> None:
    stable, drifted = (
        DriftFinding("scan", "outputs.length", 0.1, 0.2, 100),
        DriftFinding("scan", "inputs.mean", 0.3, 0.2, 100),
    )
    assert format_drift(None) == "drift: no complete window yet"
    assert format_drift([stable]) == "no drift in 1 features"
    assert format_drift([stable, drifted]) == "drift of inputs.mean"


def test_a_sparkline_has_a_bar_for_every_count_above_zero() -> None:
    assert sparkline_svg((0, 1, 1000)).count("<rect") == 2


def test_the_expected_quality_is_shown_with_its_past_error() -> None:
    assert format_expected_quality(None) == ""
    assert format_expected_quality(PerformanceEstimate(0.9, 0.8, 0.95, 200)) == "expected now 0.900"
    assert (
        format_expected_quality(PerformanceEstimate(0.9, 0.8, 0.95, 200, 0.012, 8))
        == "expected now 0.900, past error 0.012"
    )


def overview(counts: dict[int, int], waiting: int = 0, stage: str = "", held_seconds: float = 0.0) -> TaskOverview:
    """Return the overview of a task with these counts by bucket."""
    status = TaskStatus("ocr", waiting, None, stage, held_seconds)
    return TaskOverview(
        "ocr", counts=tuple(counts.get(bucket, 0) for bucket in range(BUCKET_COUNT)), task_status=status
    )


def test_the_rate_is_no_requests_only_if_there_are_none() -> None:
    assert format_rate(overview({})) == "no requests"
    assert format_rate(overview({BUCKET_COUNT - 2: 1000})) == "100/s"
    assert format_rate(overview({BUCKET_COUNT - 2: 5})) == "0.5/s"
    # One every 20 s: none in the last complete buckets, 14 in all.
    assert format_rate(overview(dict.fromkeys(range(1, BUCKET_COUNT - 4, 4), 1))) == "14 in 5 min"
    assert format_rate(overview({}, waiting=3)) == "waiting"
    assert format_rate(TaskOverview("ocr")) == "–"


def test_a_blocked_task_is_not_answering_whatever_it_answered_before() -> None:
    task = overview({BUCKET_COUNT - 2: 5}, waiting=1200, stage="preprocess", held_seconds=42.0)
    assert format_rate(task) == NOT_ANSWERING
    assert format_waiting(task) == "1,200 waiting"
    assert "for 42 s: preprocess blocks the requests" in format_blocker(task)
    assert "hindsight restart preprocess" in format_blocker(task)
    assert format_blocker(overview({})) == ""
    assert format_waiting(TaskOverview("ocr")) == "lag not known"
