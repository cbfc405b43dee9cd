from datetime import UTC, datetime

from app.monitoring.drift import Finding
from app.monitoring.performance_estimation import Expected
from app.monitoring.quality import Judged, quality
from app.monitoring.task_status import TaskStatus
from app.pages.overview.formatting import NOT_ANSWERING, drift, expected, held, interval, rate, spark, waiting
from app.pages.overview.poller import Seen
from app.pages.overview.throughput import BUCKETS

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_interval_is_of_enough_that_were_judged() -> None:
    few, many = ([Judged(NOON, one % 2, "audit", 0.1) for one in range(count)] for count in (4, 100))
    assert interval(None) == "not looked at yet"
    assert interval(quality(few, 40)) == "4 of the audit judged: too few"
    assert interval(quality(many, 1000)).endswith("100 judged")


def test_drift_names_what_has_drifted() -> None:
    still, moved = Finding("scan", "outputs.length", 0.1, 0.2, 100), Finding("scan", "inputs.mean", 0.3, 0.2, 100)
    assert drift(None) == "drift: no whole window yet"
    assert drift([still]) == "no drift in 1 numbers"
    assert drift([still, moved]) == "drift of inputs.mean"


def test_a_spark_has_a_bar_for_whatever_is_not_nothing() -> None:
    assert spark((0, 1, 1000)).count("<rect") == 2


def test_what_is_expected_is_said_with_how_far_off_it_was() -> None:
    assert expected(None) == ""
    assert expected(Expected(0.9, 0.8, 0.95, 200)) == "expected now 0.900"
    assert expected(Expected(0.9, 0.8, 0.95, 200, 0.012, 8)) == "expected now 0.900, off by 0.012 before"


def seen(counts: dict[int, int], waiting: int = 0, stage: str = "", held_seconds: float = 0.0) -> Seen:
    """A task with so many answers in some of the buckets."""
    standing = TaskStatus("ocr", waiting, None, stage, held_seconds)
    return Seen("ocr", counts=tuple(counts.get(bucket, 0) for bucket in range(BUCKETS)), standing=standing)


def test_no_requests_is_said_only_where_there_are_none() -> None:
    assert rate(seen({})) == "no requests"
    assert rate(seen({BUCKETS - 2: 1000})) == "100/s"
    assert rate(seen({BUCKETS - 2: 5})) == "0.5/s"
    # One every 20 s: none in the last whole buckets, 15 in all.
    assert rate(seen(dict.fromkeys(range(1, BUCKETS - 4, 4), 1))) == "14 in 5 min"
    assert rate(seen({}, waiting=3)) == "waiting"
    assert rate(Seen("ocr")) == "–"


def test_a_task_that_is_held_up_is_not_answering_whatever_it_answered_before() -> None:
    found = seen({BUCKETS - 2: 5}, waiting=1200, stage="preprocess", held_seconds=42.0)
    assert rate(found) == NOT_ANSWERING
    assert waiting(found) == "1,200 waiting"
    assert "for 42 s: preprocess holds them up" in held(found)
    assert "hindsight restart preprocess" in held(found)
    assert held(seen({})) == ""
    assert waiting(Seen("ocr")) == "what waits is not known"
