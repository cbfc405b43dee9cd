from datetime import UTC, datetime

from app.monitoring.drift import Finding
from app.monitoring.quality import Judged, quality
from app.monitoring.unlabelled import Expected
from app.pages.figures import drift, expected, interval, spark

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
