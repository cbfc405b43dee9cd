"""The results of a run say which targets are met; parts that were not measured have no targets."""

import json
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.in_process import InProcessSpeed
from benchmarks.latency import summarize_load
from benchmarks.load_generator import LoadResult, RequestTimes
from benchmarks.peer import PeerThroughput
from benchmarks.resource_usage import CoreUsage, Memory
from benchmarks.results import BenchmarkResults
from benchmarks.runtime_limit import BatchSpeed, RuntimeLimit
from benchmarks.targets import list_targets
from benchmarks.task_costs import TaskCost
from benchmarks.throughput import BacklogResult

BUSY = CoreUsage(10, {"worker": 1.5}, others=0.0)
REST = CoreUsage(60, {"worker": 0.1}, others=0.0)
TIMINGS = {"queued": 10.0, "preprocess": 1.0, "inference": 3.0, "total": 14.0}


def make_backlog(per_second: float, busy: CoreUsage = BUSY) -> BacklogResult:
    return BacklogResult(1000, 1000 / per_second, per_second, per_second, per_second, 0, busy, busy)


def make_results() -> BenchmarkResults:
    sample = RequestTimes(0, 1, 2, 8, 19, 20, False, "", TIMINGS)
    return BenchmarkResults(
        {"cores": "2"},
        "lines",
        rest=REST,
        at_rest=Memory("PSS", {"kafka": 300.0, "worker": 2500.0}),
        latency=[replace(summarize_load(200, LoadResult([sample] * 10, 100, 0)), sent=2000, busy=BUSY)],
        saturated=[make_backlog(400), make_backlog(600), make_backlog(1000)],
        alone=[PeerThroughput(0, 1000, 300, 1.0), PeerThroughput(1, 1000, 500, 1.0)],
        limit=RuntimeLimit(
            [BatchSpeed(1, 1, 2, 800), BatchSpeed(8, 1, 2, 1000)], InProcessSpeed(750, 2.0, 1.0), 0.5, 0.1
        ),
    )


def test_ratios_take_the_median_backlog_the_best_batch_and_the_better_peer() -> None:
    ratios = make_results().ratios
    assert ratios["saturated / limit"] == 0.6
    assert ratios["saturated / one at a time"] == 1.2
    assert ratios["saturated / in one process"] == 0.8


def test_the_tax_is_the_time_of_an_event_beyond_rest_and_beyond_the_work_in_one_process() -> None:
    assert make_results().stage_costs["saturated"].total == 14
    assert make_results().tax_ms == 12
    assert make_results().summary["tax, CPU ms of an event"] == 12


def test_each_target_is_met_or_missed() -> None:
    met = {target.name: target.met for target in list_targets(make_results())}
    assert met["latency p99 at 200/s"]
    assert not met["latency p50 at 200/s"]
    assert met["saturated / in one process"]
    assert not met["memory at rest, PSS"]


def test_a_load_with_lost_requests_meets_no_target() -> None:
    results = make_results()
    results.latency = [replace(results.latency[0], unanswered=1)]
    assert not any(target.met for target in list_targets(results) if target.name.startswith("latency"))


def test_each_task_has_the_same_ratios() -> None:
    results = make_results()
    limit = RuntimeLimit([BatchSpeed(8, 1, 2, 1000)], InProcessSpeed(800, 2.0, 1.0), 0.5, 0.1)
    results.tasks["decision"] = TaskCost(make_backlog(400), PeerThroughput(1, 1000, 500, 1.0), limit)
    cost = results.tasks["decision"]
    assert (cost.limit_ratio, cost.end_to_end_ratio, cost.peer_ratio) == (0.4, 0.5, 0.8)
    assert "| decision | 400 | 500 | 800 | 1000 | 0.80 | 0.50 | 0.40 |" in report.render_markdown(results)


def test_parts_that_were_not_measured_have_no_targets() -> None:
    empty = BenchmarkResults({}, "")
    assert (list_targets(empty), empty.ratios, empty.summary) == ([], {}, {})
    assert report.render_markdown(empty)


def test_figures_of_a_busy_machine_are_provisional() -> None:
    results = make_results()
    assert not results.disturbed_phases
    results.saturated.append(make_backlog(500, CoreUsage(10, {"worker": 1.0}, others=0.9)))
    assert results.disturbed_phases == {"backlog 4": 0.9}
    assert "PROVISIONAL" in report.render_markdown(results)


def test_both_files_are_written(tmp_path: Path) -> None:
    path = report.save_results(make_results(), tmp_path / "results", "now")
    assert "| saturated / in one process | 0.80 | >= 0.7 | met |" in path.read_text()
    assert json.loads(path.with_suffix(".json").read_text())["summary"]["saturated, events/s"] == 600
