"""The tax of a task is what the platform adds to the work in one process."""

import pytest

from benchmarks import report
from benchmarks.in_process import InProcessSpeed
from benchmarks.resource_usage import CoreUsage
from benchmarks.results import BenchmarkResults
from benchmarks.stage_costs import StageCosts
from benchmarks.targets import list_targets
from benchmarks.task_costs import SizedCost, TaskCost
from benchmarks.throughput import BacklogResult

BUSY = CoreUsage(2, {"kafka": 0.5, "consumer 1": 0.5}, others=0.0)


def make_backlog(per_second: float) -> BacklogResult:
    return BacklogResult(1000, 1000 / per_second, per_second, per_second, 0, BUSY, BUSY)


def make_cost() -> TaskCost:
    sizes = [
        SizedCost(10, StageCosts(1000, {"kafka": 1.0, "worker": 1.0}), InProcessSpeed(800, 0.5, 1000, 0.2)),
        SizedCost(110, StageCosts(1000, {"kafka": 1.8, "worker": 1.4}), InProcessSpeed(700, 0.7, 1000, 0.2)),
    ]
    return TaskCost(make_backlog(400), sizes, {"Quix Streams": make_backlog(500)})


def test_the_tax_of_a_byte_is_without_what_the_work_itself_takes_for_it() -> None:
    cost = make_cost()
    assert cost.lines["total"].us_per_kb == pytest.approx(12)
    assert cost.tax.us_per_kb == pytest.approx(10)
    assert cost.tax.fixed_ms == pytest.approx(1.4)


def test_the_platform_is_compared_with_every_other_on_the_smallest_payloads() -> None:
    assert make_cost().ratios == {"in one process": 0.5, "ONNX Runtime alone": 0.4, "Quix Streams": 0.8}


def test_tax_and_peers_are_reported_and_have_targets() -> None:
    results = BenchmarkResults({}, "", tasks={"ocr": make_cost()})
    text = report.render_markdown(results)
    assert "| ocr | Quix Streams | 500 | 0.80 | 2.00 |" in text
    assert "| ocr | kafka | 0.92 ± 0.00 | 8.0 ± 0.0 |" in text
    assert "| ocr | tax | 1.40 ± 0.00 | 10.0 ± 0.0 |" in text
    assert [target.name for target in list_targets(results)] == [
        "tax of ocr, fixed",
        "tax of ocr, a kB",
        "ocr, saturated / Quix Streams",
    ]
