"""The figures of a load count every sample."""

import pytest

from benchmarks.latency import stage_latencies, summarize_load, summarize_values
from benchmarks.load_generator import LoadResult, RequestTimes

TIMINGS = {"queued": 10.0, "preprocess": 1.0, "inference": 3.0, "total": 14.0}


def answered(due: float, ms: float) -> RequestTimes:
    return RequestTimes(due, due + 1, due + 2, due + 8, due + ms - 1, due + ms, False, "", TIMINGS)


def unanswered(due: float) -> RequestTimes:
    return RequestTimes(due, due + 1, due + 2, None, None, None, False, "", {})


def test_latency_counts_from_the_moment_a_request_was_due() -> None:
    load = summarize_load(50, LoadResult([answered(0, 20), answered(20, 40)], started=0, ended=100, cpu_seconds=0))
    assert (load.total.mean, load.total.max) == (30, 40)
    assert load.outside.mean == pytest.approx(30 - TIMINGS["total"])


def test_a_request_without_an_answer_counts_with_the_time_for_which_it_was_awaited() -> None:
    load = summarize_load(50, LoadResult([answered(0, 20), unanswered(20)], started=0, ended=5020, cpu_seconds=0))
    assert load.unanswered == 1
    assert load.total.max == 5000


def test_stages_add_up_to_the_latency() -> None:
    latencies = stage_latencies(answered(0, 20))
    assert latencies is not None
    assert sum(latencies.values()) == 20


def test_failed_answers_are_counted_with_a_reason() -> None:
    failure = RequestTimes(0, 1, 2, 8, 19, 20, True, "no model", {})
    load = summarize_load(50, LoadResult([failure, answered(20, 20)], started=0, ended=100, cpu_seconds=0))
    assert (load.failed, load.reason) == (1, "no model")


def test_a_distribution_without_values_is_zero() -> None:
    assert summarize_values([]).max == 0
