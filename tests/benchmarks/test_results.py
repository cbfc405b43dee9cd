"""The results of a run say which targets are met; parts that were not measured have no targets."""

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


def make_backlog(per_second: float, busy: CoreUsage = BUSY) -> BacklogResult:
    return BacklogResult(1000, 1000 / per_second, per_second, per_second, per_second, 0, busy)


def make_results() -> BenchmarkResults:
    sample = RequestTimes(0, 1, 2, 8, 19, 20, False, "", TIMINGS)
    return BenchmarkResults(
        {"cores": "2"},
        "lines",
        at_rest=Memory("PSS", {"kafka": 300.0, "worker": 2500.0}),
        latency=[summarize_load(200, LoadResult([sample] * 10, 100, 0))],
        saturated=[make_backlog(400), make_backlog(600), make_backlog(1000)],
        alone=[PeerThroughput(0, 1000, 300, 1.0), PeerThroughput(1, 1000, 500, 1.0)],
        limit=RuntimeLimit([BatchSpeed(1, 1, 2, 800), BatchSpeed(8, 1, 2, 1000)], 700, 0.5, 0.1),
    )


def test_ratios_take_the_median_backlog_the_best_batch_and_the_better_peer() -> None:
    ratios = make_results().ratios
    assert ratios["saturated / limit"] == 0.6
    assert ratios["saturated / one at a time"] == 1.2


def test_each_target_is_met_or_missed() -> None:
    met = {target.name: target.met for target in make_results().targets}
    assert met["latency p50 at 200/s"]
    assert met["saturated / limit"]
    assert not met["memory at rest"]


def test_each_task_has_the_same_ratios() -> None:
    results = make_results()
    limit = RuntimeLimit([BatchSpeed(8, 1, 2, 1000)], 800, 0.5, 0.1)
    results.tasks["decision"] = TaskCost(make_backlog(400), PeerThroughput(1, 1000, 500, 1.0), limit)
    cost = results.tasks["decision"]
    assert (cost.limit_ratio, cost.end_to_end_ratio, cost.peer_ratio) == (0.4, 0.5, 0.8)
    assert "| decision | 400 | 500 | 800 | 1000 | 0.80 | 0.50 | 0.40 |" in report.render_markdown(results)


def test_parts_that_were_not_measured_have_no_targets() -> None:
    empty = BenchmarkResults({}, "")
    assert (empty.targets, empty.ratios) == ([], {})
    assert report.render_markdown(empty)


def test_figures_of_a_busy_machine_are_provisional() -> None:
    results = make_results()
    assert not results.disturbed_phases
    results.saturated.append(make_backlog(500, CoreUsage(10, {"worker": 1.0}, others=0.9)))
    assert results.disturbed_phases == {"backlog 4": 0.9}
    assert "PROVISIONAL" in report.render_markdown(results)


def test_both_files_are_written(tmp_path: Path) -> None:
    path = report.save_results(make_results(), tmp_path / "results", "now")
    assert "| saturated / limit | 0.60 | >= 0.5 | met |" in path.read_text()
    assert json.loads(path.with_suffix(".json").read_text())["throughput"] == 600
