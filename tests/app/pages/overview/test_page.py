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
    format_waiting,
    sparkline_svg,
)
from app.pages.overview.poller import TaskOverview
from app.pages.overview.throughput import BUCKET_COUNT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_interval_is_of_enough_that_were_judged() -> None:
    few, many = ([ScoredOutcome(NOON, one % 2, "audit", 0.1) for one in range(count)] for count in (4, 100))
    assert format_interval(None) == "not looked at yet"
    assert format_interval(estimate_quality(few, 40)) == "4 of the audit judged: too few"
    assert format_interval(estimate_quality(many, 1000)).endswith("100 judged")


def test_drift_names_what_has_drifted() -> None:
    still, moved = (
        DriftFinding("scan", "outputs.length", 0.1, 0.2, 100),
        DriftFinding("scan", "inputs.mean", 0.3, 0.2, 100),
    )
    assert format_drift(None) == "drift: no whole window yet"
    assert format_drift([still]) == "no drift in 1 numbers"
    assert format_drift([still, moved]) == "drift of inputs.mean"


def test_a_spark_has_a_bar_for_whatever_is_not_nothing() -> None:
    assert sparkline_svg((0, 1, 1000)).count("<rect") == 2


def test_what_is_expected_is_said_with_how_far_off_it_was() -> None:
    assert format_expected_quality(None) == ""
    assert format_expected_quality(PerformanceEstimate(0.9, 0.8, 0.95, 200)) == "expected now 0.900"
    assert (
        format_expected_quality(PerformanceEstimate(0.9, 0.8, 0.95, 200, 0.012, 8))
        == "expected now 0.900, off by 0.012 before"
    )


def seen(counts: dict[int, int], waiting: int = 0, stage: str = "", held_seconds: float = 0.0) -> TaskOverview:
    """A task with so many answers in some of the buckets."""
    standing = TaskStatus("ocr", waiting, None, stage, held_seconds)
    return TaskOverview(
        "ocr", counts=tuple(counts.get(bucket, 0) for bucket in range(BUCKET_COUNT)), task_status=standing
    )


def test_no_requests_is_said_only_where_there_are_none() -> None:
    assert format_rate(seen({})) == "no requests"
    assert format_rate(seen({BUCKET_COUNT - 2: 1000})) == "100/s"
    assert format_rate(seen({BUCKET_COUNT - 2: 5})) == "0.5/s"
    # One every 20 s: none in the last whole buckets, 15 in all.
    assert format_rate(seen(dict.fromkeys(range(1, BUCKET_COUNT - 4, 4), 1))) == "14 in 5 min"
    assert format_rate(seen({}, waiting=3)) == "waiting"
    assert format_rate(TaskOverview("ocr")) == "–"


def test_a_task_that_is_held_up_is_not_answering_whatever_it_answered_before() -> None:
    found = seen({BUCKET_COUNT - 2: 5}, waiting=1200, stage="preprocess", held_seconds=42.0)
    assert format_rate(found) == NOT_ANSWERING
    assert format_waiting(found) == "1,200 waiting"
    assert "for 42 s: preprocess holds them up" in format_blocker(found)
    assert "hindsight restart preprocess" in format_blocker(found)
    assert format_blocker(seen({})) == ""
    assert format_waiting(TaskOverview("ocr")) == "what waits is not known"
