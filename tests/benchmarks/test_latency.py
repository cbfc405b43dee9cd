"""The figures of a load are made of its samples, and hide nothing."""

import pytest

from benchmarks.latency import stage_latencies, summarize_load, summarize_values
from benchmarks.load_generator import LoadResult, RequestTimes

TIMINGS = {"queued": 10.0, "preprocess": 1.0, "inference": 3.0, "total": 14.0}


def answered(due: float, ms: float) -> RequestTimes:
    return RequestTimes(due, due + 1, due + 2, due + 8, due + ms - 1, due + ms, False, "", TIMINGS)


def unanswered(due: float) -> RequestTimes:
    return RequestTimes(due, due + 1, due + 2, None, None, None, False, "", {})


def test_latency_counts_from_when_a_request_was_due() -> None:
    found = summarize_load(50, LoadResult([answered(0, 20), answered(20, 40)], ended=100, cpu_seconds=0))
    assert (found.total.mean, found.total.max) == (30, 40)
    assert found.outside.mean == pytest.approx(30 - TIMINGS["total"])


def test_a_request_without_an_answer_counts_with_the_time_that_was_waited() -> None:
    found = summarize_load(50, LoadResult([answered(0, 20), unanswered(20)], ended=5020, cpu_seconds=0))
    assert found.unanswered == 1
    assert found.total.max == 5000


def test_stages_add_up_to_the_latency() -> None:
    walk = stage_latencies(answered(0, 20))
    assert walk is not None
    assert sum(walk.values()) == 20


def test_failed_answers_are_told_with_a_reason() -> None:
    failure = RequestTimes(0, 1, 2, 8, 19, 20, True, "no model", {})
    found = summarize_load(50, LoadResult([failure, answered(20, 20)], ended=100, cpu_seconds=0))
    assert (found.failed, found.reason) == (1, "no model")


def test_a_spread_of_nothing_is_zero() -> None:
    assert summarize_values([]).max == 0
