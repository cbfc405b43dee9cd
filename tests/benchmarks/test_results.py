"""A run says what is met and what is missed, and what was left out it doesn't judge."""

import json
from pathlib import Path

from benchmarks import report
from benchmarks.latency import summarize_load
from benchmarks.load_generator import LoadResult, RequestTimes
from benchmarks.peer import PeerThroughput
from benchmarks.resource_usage import CoreUsage, Memory
from benchmarks.results import BenchmarkResults
from benchmarks.runtime_limit import BatchSpeed, RuntimeLimit
from benchmarks.task_costs import TaskCost
from benchmarks.throughput import BacklogResult

BUSY = CoreUsage(10, {"worker": 1.5}, others=0.0)
TIMINGS = {"queued": 10.0, "preprocess": 1.0, "inference": 3.0, "total": 14.0}


def a_drain(per_second: float, busy: CoreUsage = BUSY) -> BacklogResult:
    return BacklogResult(1000, 1000 / per_second, per_second, per_second, per_second, 0, busy)


def a_run() -> BenchmarkResults:
    sample = RequestTimes(0, 1, 2, 8, 19, 20, False, "", TIMINGS)
    return BenchmarkResults(
        {"cores": "2"},
        "lines",
        at_rest=Memory("PSS", {"kafka": 300.0, "worker": 2500.0}),
        latency=[summarize_load(200, LoadResult([sample] * 10, 100, 0))],
        saturated=[a_drain(400), a_drain(600), a_drain(1000)],
        alone=[PeerThroughput(0, 1000, 300, 1.0), PeerThroughput(1, 1000, 500, 1.0)],
        limit=RuntimeLimit([BatchSpeed(1, 1, 2, 800), BatchSpeed(8, 1, 2, 1000)], 700, 0.5, 0.1),
    )


def test_ratios_take_the_median_backlog_the_best_batch_and_the_better_peer() -> None:
    ratios = a_run().ratios
    assert ratios["saturated / limit"] == 0.6
    assert ratios["saturated / one at a time"] == 1.2


def test_each_aim_is_met_or_missed() -> None:
    met = {aim.name: aim.met for aim in a_run().targets}
    assert met["latency p50 at 200/s"]
    assert met["saturated / limit"]
    assert not met["memory at rest"]


def test_each_task_has_the_same_ratios() -> None:
    run = a_run()
    limit = RuntimeLimit([BatchSpeed(8, 1, 2, 1000)], 800, 0.5, 0.1)
    run.tasks["decision"] = TaskCost(a_drain(400), PeerThroughput(1, 1000, 500, 1.0), limit)
    cost = run.tasks["decision"]
    assert (cost.limit_ratio, cost.end_to_end_ratio, cost.peer_ratio) == (0.4, 0.5, 0.8)
    assert "| decision | 400 | 500 | 800 | 1000 | 0.80 | 0.50 | 0.40 |" in report.render_markdown(run)


def test_what_was_not_measured_is_not_judged() -> None:
    empty = BenchmarkResults({}, "")
    assert (empty.targets, empty.ratios) == ([], {})
    assert report.render_markdown(empty)


def test_a_busy_machine_is_told() -> None:
    run = a_run()
    assert not run.disturbed_phases
    run.saturated.append(a_drain(500, CoreUsage(10, {"worker": 1.0}, others=0.9)))
    assert run.disturbed_phases == {"backlog 4": 0.9}
    assert "PROVISIONAL" in report.render_markdown(run)


def test_both_files_are_written(tmp_path: Path) -> None:
    path = report.save_results(a_run(), tmp_path / "results", "now")
    assert "| saturated / limit | 0.60 | >= 0.5 | met |" in path.read_text()
    assert json.loads(path.with_suffix(".json").read_text())["throughput"] == 600
