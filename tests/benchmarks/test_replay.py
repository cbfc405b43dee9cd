"""Replay is compared with other readers of the same events."""

import pytest

from benchmarks.replay import READERS, ReaderRun, ReplayComparison, median_run
from benchmarks.report import render_markdown
from benchmarks.results import BenchmarkResults
from benchmarks.tables.replay import READERS as TITLES
from benchmarks.targets import list_targets


def make_run(seconds: float, peak_mib: float = 500.0) -> ReaderRun:
    return ReaderRun(seconds, 2 * seconds, peak_mib, 300_000)


def make_comparison(consumer: float, scan: float, replay: float, peak_mib: float = 500.0) -> ReplayComparison:
    runs = {"consumer": make_run(consumer), "scan": make_run(scan), "copy": make_run(scan)}
    return ReplayComparison(1_000_000, 5000.0, runs | {"replay": make_run(replay, peak_mib)})


def targets_met(comparison: ReplayComparison) -> list[bool]:
    return [target.met for target in list_targets(BenchmarkResults({}, "", replay=comparison))]


def test_replay_must_be_much_faster_than_a_consumer_and_not_much_slower_than_a_scan() -> None:
    assert make_comparison(40, 2, 4).consumer_ratio == 10
    assert make_comparison(40, 2, 4).scan_ratio == 2
    assert targets_met(make_comparison(40, 2, 4)) == [True, True, True]
    assert targets_met(make_comparison(40, 1, 4)) == [True, False, True]
    assert targets_met(make_comparison(39, 2, 4)) == [False, True, True]


def test_replay_must_use_at_most_a_gibibyte() -> None:
    assert targets_met(make_comparison(40, 2, 4, peak_mib=1025)) == [True, True, False]


def test_the_median_of_two_runs_is_the_faster() -> None:
    assert median_run([make_run(9), make_run(1), make_run(2)]).seconds == 2
    assert median_run([make_run(9), make_run(1)]).seconds == 1


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_is_reported(reader: str) -> None:
    text = render_markdown(BenchmarkResults({}, "", replay=make_comparison(40, 2, 4)))
    assert f"| {TITLES[reader]} |" in text
    assert "| aiokafka consumes the topics | 25000 | 40.0 | 80.0 | 500 |" in text
