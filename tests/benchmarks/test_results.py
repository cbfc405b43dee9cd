"""The results of a run say which targets are met; parts that were not measured have no targets."""

import json
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.commands import CommandTime
from benchmarks.in_process import InProcessSpeed
from benchmarks.latency import LatencyDistribution, summarize_load
from benchmarks.load_generator import LoadResult, RequestTimes
from benchmarks.overload import Overload
from benchmarks.resource_usage import CoreUsage, Memory
from benchmarks.results import BenchmarkResults
from benchmarks.runtime_limit import BatchSpeed, RuntimeLimit
from benchmarks.targets import list_targets
from benchmarks.throughput import BacklogResult

BUSY = CoreUsage(10, {"worker": 1.5}, others=0.0)
REST = CoreUsage(60, {"worker": 0.1}, others=0.0)
WHOLE = InProcessSpeed(750, 2.0, 1500, 1.0)
TIMINGS = {"queued": 10.0, "preprocess": 1.0, "inference": 3.0, "total": 14.0}


def make_backlog(per_second: float, busy: CoreUsage = BUSY) -> BacklogResult:
    return BacklogResult(1000, 1000 / per_second, per_second, per_second, 0, busy, busy)


def make_results() -> BenchmarkResults:
    sample = RequestTimes(0, 1, 2, 8, 19, 20, False, "", TIMINGS)
    return BenchmarkResults(
        {"cores": "2"},
        "lines",
        rest=REST,
        at_rest=Memory("PSS", {"kafka": 300.0, "worker": 2500.0}),
        latency=[replace(summarize_load(200, LoadResult([sample] * 10, 0, 100, 0)), sent=2000, busy=BUSY)],
        saturated=[make_backlog(400), make_backlog(600), make_backlog(1000)],
        whole=WHOLE,
        limit=RuntimeLimit([BatchSpeed(1, 1, 2, 800), BatchSpeed(8, 1, 2, 1000)]),
    )


def test_ratios_take_the_median_backlog_and_the_best_batch() -> None:
    assert make_results().ratios == {"saturated / in one process": 0.8, "saturated / ONNX Runtime alone": 0.6}


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


def test_an_overload_must_lose_nothing_and_end_soon() -> None:
    results = make_results()
    calm = LatencyDistribution(10, 10, 10, 10, 10)
    results.overload = Overload(100, 400, 60, 10_000, 0, 0, calm, calm, recovery_seconds=None, observed_seconds=150)
    met = {target.name: target.met for target in list_targets(results) if target.name.startswith("overload")}
    assert met == {
        "overload, requests without an answer": True,
        "overload, from its end until p99 is normal": False,
    }
    assert "| from its end until p99 is normal | more than 150 s |" in report.render_markdown(results)


def test_commands_are_reported() -> None:
    results = make_results()
    results.commands = {"hindsight status": CommandTime(1.5, 1.25)}
    assert "| hindsight status | 1.50 | 1.25 |" in report.render_markdown(results)
    assert not next(target.met for target in list_targets(results) if target.name == "hindsight status")


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
