"""An overload is over once p99 is normal for a while."""

import pytest

from benchmarks.load_generator import LoadPlan, LoadResult, Phase, RequestTimes
from benchmarks.overload import STEADY_WINDOWS, find_recovery, summarize_overload


def latencies(*milliseconds: float) -> list[tuple[float, float]]:
    """Return ten requests in each second, all with the latency of that second."""
    return [(second + tenth / 10, ms) for second, ms in enumerate(milliseconds) for tenth in range(10)]


def test_recovery_is_the_beginning_of_the_first_steady_windows() -> None:
    assert find_recovery(latencies(*[900] * 7, *[20] * STEADY_WINDOWS), 30) == 7


def test_a_platform_that_is_never_late_recovers_at_once() -> None:
    assert find_recovery(latencies(*[20] * STEADY_WINDOWS), 30) == 0


def test_a_short_pause_in_the_queue_is_no_recovery() -> None:
    milliseconds = [900, 20, 20, 900, *[20] * STEADY_WINDOWS]
    assert find_recovery(latencies(*milliseconds), 30) == 4


def test_latency_that_stays_high_or_is_normal_too_shortly_has_no_recovery() -> None:
    assert find_recovery(latencies(*[900] * 20), 30) is None
    assert find_recovery(latencies(*[900] * 5, *[20] * (STEADY_WINDOWS - 1)), 30) is None
    assert find_recovery([], 30) is None


def test_a_single_late_request_of_a_window_counts() -> None:
    late = [(0.95, 900.0)]
    assert find_recovery([*latencies(*[20] * (STEADY_WINDOWS + 1)), *late], 30) == 1


def test_failing_soon_is_no_recovery() -> None:
    phases = Phase(10, 2), Phase(20, 1), Phase(10, 10)
    samples = [
        *(make_sample(second * 100, 20) for second in range(30)),
        *(make_sample(3000 + second * 100, 5, failed=second < 40) for second in range(100)),
    ]
    assert summarize_overload(phases, LoadResult(samples, 0, 13_000, 0)).recovery_seconds == 4


def make_sample(due: float, latency: float | None, failed: bool = False) -> RequestTimes:
    received = None if latency is None else due + latency
    return RequestTimes(due, due, due, None, received, received, failed, "busy" if failed else "", {})


def test_requests_count_for_the_phase_in_which_they_were_due() -> None:
    phases = Phase(10, 2), Phase(20, 2), Phase(10, 8)
    samples = [
        *(make_sample(1_000_000 + second * 100, 20) for second in range(20)),
        *(make_sample(1_002_000 + second * 50, 500) for second in range(38)),
        make_sample(1_003_900, 30, failed=True),
        make_sample(1_003_950, None),
        *(make_sample(1_004_000 + second * 100, 500 if second < 30 else 25) for second in range(80)),
    ]
    overload = summarize_overload(phases, LoadResult(samples, 1_000_000, 1_012_000, 0))
    assert (overload.requests, overload.unanswered, overload.failed) == (140, 1, 1)
    assert (overload.before.p99, overload.during.max, overload.during.p50) == (20, 500, 500)
    assert overload.recovery_seconds == 3


def test_phases_follow_each_other() -> None:
    plan = LoadPlan("broker", "ocr", (Phase(2, 1), Phase(4, 1)), 0, 1)
    assert plan.due_seconds == pytest.approx([0, 0.5, 1, 1.25, 1.5, 1.75])
