"""Replay is compared with what else reads the same events."""

import pytest

from benchmarks import report
from benchmarks.replay import READERS, ReaderRun, ReplayComparison, median_run
from benchmarks.results import BenchmarkResults


def taking(seconds: float, peak_mib: float = 500.0) -> ReaderRun:
    return ReaderRun(seconds, 2 * seconds, peak_mib, 300_000)


def a_whole(consumer: float, scan: float, replay: float, peak_mib: float = 500.0) -> ReplayComparison:
    readings = {"consumer": taking(consumer), "scan": taking(scan), "copy": taking(scan)}
    return ReplayComparison(1_000_000, 5000.0, readings | {"replay": taking(replay, peak_mib)})


def met(whole: ReplayComparison) -> list[bool]:
    return [aim.met for aim in BenchmarkResults({}, "", whole=whole).targets]


def test_replay_is_to_be_much_quicker_than_a_consumer_and_not_much_slower_than_a_scan() -> None:
    assert a_whole(40, 2, 4).consumer_ratio == 10
    assert a_whole(40, 2, 4).scan_ratio == 2
    assert met(a_whole(40, 2, 4)) == [True, True, True]
    assert met(a_whole(40, 1, 4)) == [True, False, True]
    assert met(a_whole(39, 2, 4)) == [False, True, True]


def test_replay_is_to_hold_less_than_a_gibibyte() -> None:
    assert met(a_whole(40, 2, 4, peak_mib=1024)) == [True, True, False]


def test_the_median_stands_for_all_and_of_two_the_quicker() -> None:
    assert median_run([taking(9), taking(1), taking(2)]).seconds == 2
    assert median_run([taking(9), taking(1)]).seconds == 1


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_is_reported(reader: str) -> None:
    said = report.render_markdown(BenchmarkResults({}, "", whole=a_whole(40, 2, 4)))
    assert f"| {report.READERS[reader]} |" in said
    assert "| aiokafka consumes the topics | 25000 | 40.0 | 80.0 | 500 |" in said
