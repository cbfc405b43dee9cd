import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.monitoring import metrics
from app.monitoring.metrics import MAX_CODES
from app.settings import CHECKOUT
from tests.support.metrics_exposition import DOCUMENTED_LABELS, LABEL_NAMES

TASK = "sonar"


def series(name: str, **labels: str) -> list[dict[str, str]]:
    """Return the labels of those series of a metric that have these labels."""
    samples = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name == name]
    return [sample.labels for sample in samples if sample.labels | labels == sample.labels]


def count_answer(version: str, role: str) -> None:
    """Count an answer and an answer of a shadow."""
    metrics.REQUESTS.labels(TASK, version, role, "predicted").inc()
    metrics.LATENCY.labels(TASK, version, role, "total").observe(0.1)
    metrics.BATCH_SIZE.labels(TASK, version).observe(1)
    metrics.FLOOR_HITS.labels(TASK, version, role).inc()
    metrics.SHADOWS.labels(TASK, version, "said").inc()


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_codes", set())


def test_every_label_is_documented_with_its_bound() -> None:
    assert LABEL_NAMES <= DOCUMENTED_LABELS


def test_the_series_of_versions_that_are_no_longer_routed_are_removed() -> None:
    counts = set()
    for version in map(str, range(1, 200)):
        metrics.set_route(TASK, {version: "champion", f"{version}0": "canary"})
        count_answer(version, "champion")
        count_answer(f"{version}0", "canary")
        counts.add(sum(len(series(name, task=TASK)) for name in version_metric_names()))
    assert len(counts) == 1
    versions = {labels["version"] for name in version_metric_names() for labels in series(name, task=TASK)}
    assert versions == {"199", "1990"}


def version_metric_names() -> set[str]:
    return {
        sample.name for metric in metrics._VERSION_METRICS for family in metric.collect() for sample in family.samples
    }


def test_a_canary_that_becomes_the_champion_is_no_longer_counted_as_canary() -> None:
    metrics.set_route(TASK, {"1": "champion", "2": "canary"})
    count_answer("2", "canary")
    metrics.set_route(TASK, {"2": "champion"})
    count_answer("2", "champion")
    assert {labels["role"] for labels in series("hindsight_requests_total", task=TASK, version="2")} == {"champion"}
    assert series("hindsight_batch_size_count", task=TASK, version="2")


def test_series_of_other_tasks_and_of_failures_without_a_version_are_kept() -> None:
    metrics.REQUESTS.labels("radar", "1", "champion", "predicted").inc()
    metrics.count_rejection(TASK, "preprocess", "bad")
    metrics.set_route(TASK, {"3": "champion"})
    assert series("hindsight_requests_total", task="radar", version="1")
    assert series("hindsight_requests_total", task=TASK, version="", outcome="failed")


def test_the_series_of_a_route_exist_before_its_first_request() -> None:
    metrics.set_route(TASK, {"4": "champion", "5": "shadow"})
    samples = series("hindsight_requests_total", task=TASK)
    assert {(labels["version"], labels["outcome"]) for labels in samples if labels["version"]} == {
        ("4", "predicted"),
        ("4", "failed"),
    }


@pytest.mark.usefixtures("codes")
def test_codes_beyond_the_limit_are_counted_as_other() -> None:
    for number in range(2 * MAX_CODES):
        metrics.count_failure("depth", "preprocess", f"code_{number}")
    codes = {labels["code"] for labels in series("hindsight_errors_total", task="depth")}
    assert len(codes) == MAX_CODES + 1
    assert "other" in codes


def rejections(path: Path) -> Iterator[ast.Call]:
    """Yield the calls of `Rejected` in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected":
            yield node


def test_the_codes_of_this_code_base_are_constants_and_fewer_than_the_limit() -> None:
    codes: set[Any] = set()
    for folder in ("app", "models", "agents"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            for call in rejections(path):
                code = call.args[0]
                passed_on = isinstance(code, ast.Name | ast.Attribute | ast.Starred)
                assert passed_on or isinstance(code, ast.Constant), f"{path}:{call.lineno}"
                codes |= {code.value} if isinstance(code, ast.Constant) else set()
    assert 50 < len(codes) < MAX_CODES


def test_unknown_values_are_counted_by_feature() -> None:
    for values in ({"context.device": 1, "other": 2}, {"context.device": 3}, {}):
        metrics.count_unknown_values(TASK, values)
    labels = {"task": TASK, "feature": "context.device"}
    assert REGISTRY.get_sample_value("hindsight_unknown_values_total", labels) == 4


def test_the_disk_of_the_home_is_measured_at_each_scrape(tmp_path: Path) -> None:
    metrics.watch_disk(tmp_path / "not there yet")
    free = REGISTRY.get_sample_value("hindsight_disk_free_bytes", {"directory": "home"})
    size = REGISTRY.get_sample_value("hindsight_disk_size_bytes", {"directory": "home"})
    assert free is not None
    assert size is not None
    assert 0 < free < size
