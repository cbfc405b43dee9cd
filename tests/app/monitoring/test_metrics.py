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
    """The labels of a metric's series that have these."""
    samples = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name == name]
    return [one.labels for one in samples if one.labels | labels == one.labels]


def answered(version: str, role: str) -> None:
    """What an answer and a shadow's word count."""
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


def test_series_of_versions_that_are_not_routed_any_more_are_removed_whatever_their_number() -> None:
    counts = set()
    for version in map(str, range(1, 200)):
        metrics.set_route(TASK, {version: "champion", f"{version}0": "canary"})
        answered(version, "champion")
        answered(f"{version}0", "canary")
        counts.add(sum(len(series(sample, task=TASK)) for sample in names()))
    assert len(counts) == 1
    assert {one["version"] for name in names() for one in series(name, task=TASK)} == {"199", "1990"}


def names() -> set[str]:
    return {
        sample.name for metric in metrics._VERSION_METRICS for family in metric.collect() for sample in family.samples
    }


def test_a_canary_that_becomes_the_champion_is_not_counted_as_a_canary_any_more() -> None:
    metrics.set_route(TASK, {"1": "champion", "2": "canary"})
    answered("2", "canary")
    metrics.set_route(TASK, {"2": "champion"})
    answered("2", "champion")
    assert {one["role"] for one in series("hindsight_requests_total", task=TASK, version="2")} == {"champion"}
    assert series("hindsight_batch_size_count", task=TASK, version="2")


def test_what_other_tasks_and_failures_before_a_version_count_stays() -> None:
    metrics.REQUESTS.labels("radar", "1", "champion", "predicted").inc()
    metrics.count_rejection(TASK, "preprocess", "bad")
    metrics.set_route(TASK, {"3": "champion"})
    assert series("hindsight_requests_total", task="radar", version="1")
    assert series("hindsight_requests_total", task=TASK, version="", outcome="failed")


def test_what_a_route_has_is_there_before_its_first_request() -> None:
    metrics.set_route(TASK, {"4": "champion", "5": "shadow"})
    found = series("hindsight_requests_total", task=TASK)
    assert {(one["version"], one["outcome"]) for one in found if one["version"]} == {
        ("4", "predicted"),
        ("4", "failed"),
    }


@pytest.mark.usefixtures("codes")
def test_codes_beyond_the_bound_are_counted_as_others() -> None:
    for number in range(2 * MAX_CODES):
        metrics.count_failure("depth", "preprocess", f"code_{number}")
    found = {one["code"] for one in series("hindsight_errors_total", task="depth")}
    assert len(found) == MAX_CODES + 1
    assert "other" in found


def calls(path: Path) -> Iterator[ast.Call]:
    """Where a file rejects something."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected":
            yield node


def test_the_codes_of_this_code_base_are_words_in_the_source_and_fewer_than_the_bound() -> None:
    found: set[Any] = set()
    for folder in ("app", "models", "agents"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            for call in calls(path):
                code = call.args[0]
                assert isinstance(code, ast.Constant | ast.Name), f"{path}:{call.lineno}"  # a name: handed on
                found |= {code.value} if isinstance(code, ast.Constant) else set()
    assert 50 < len(found) < MAX_CODES


def test_the_disk_of_the_home_is_measured_when_it_is_asked(tmp_path: Path) -> None:
    metrics.watch_disk(tmp_path / "not there yet")
    free = REGISTRY.get_sample_value("hindsight_disk_free_bytes", {"directory": "home"})
    size = REGISTRY.get_sample_value("hindsight_disk_size_bytes", {"directory": "home"})
    assert free is not None
    assert size is not None
    assert 0 < free < size
