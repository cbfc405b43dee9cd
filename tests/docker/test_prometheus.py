"""The rules of `docker/prometheus` are consistent, and Prometheus' own tools accept and test them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import CHECKOUT
from tests.support import promql
from tests.support.metrics_exposition import METRIC_NAMES, all_exist

FOLDER = CHECKOUT / "docker" / "prometheus"


def read(pattern: str) -> list[Any]:
    return [yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob(pattern))]


RULES = [rule for file in read("rules/*.yml") for group in file["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
HEADINGS = {
    heading.lower()
    for heading in re.findall(r"^## (\w+)$", (CHECKOUT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
}
CASES = [case for file in read("tests/*.yml") for test in file["tests"] for case in test["alert_rule_test"]]


def rule_name(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_a_rule_names_only_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert all_exist(rule["expr"])


@pytest.mark.parametrize("rule", ALERTS, ids=rule_name)
def test_an_alert_has_a_severity_a_summary_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    page, _, heading = rule["annotations"]["runbook"].partition("#")
    assert (page, heading) == ("docs/runbooks.md", rule["alert"].lower())
    assert heading in HEADINGS


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {rule["alert"].lower() for rule in ALERTS} == HEADINGS


@pytest.mark.parametrize("rule", ALERTS, ids=rule_name)
def test_an_alert_is_tested_to_fire_and_to_be_silent(rule: dict[str, Any]) -> None:
    expected = [case["exp_alerts"] for case in CASES if case["alertname"] == rule["alert"]]
    assert any(expected)
    assert [] in expected


@pytest.mark.parametrize("rule", ALERTS, ids=rule_name)
def test_an_alert_about_a_task_names_it(rule: dict[str, Any]) -> None:
    alerts = [alert for case in CASES if case["alertname"] == rule["alert"] for alert in case["exp_alerts"]]
    task_metrics = RECORDED | {name for name in METRIC_NAMES if _is_task_metric(name)}
    is_about_a_task = bool(promql.metric_names(rule["expr"]) & task_metrics)
    assert all(("task" in alert["exp_labels"]) == is_about_a_task for alert in alerts)


def _is_task_metric(name: str) -> bool:
    process_metrics = ("ready", "heartbeat_age_seconds", "disk_free_bytes", "archive_lost_events_total")
    return name.startswith("hindsight_") and name.removeprefix("hindsight_") not in process_metrics


def run_promtool(*arguments: str | Path) -> None:
    result = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    run_promtool("check", "config", "--syntax-only", "prometheus.yml")  # the API's key is not on this machine
    run_promtool("check", "rules", *FOLDER.glob("rules/*.yml"))


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("tests/*.yml")), ids=lambda path: path.stem)
def test_the_rules_pass_their_tests_in_promtool(path: Path) -> None:
    run_promtool("test", "rules", path)


@pytest.mark.needs("amtool")
def test_amtool_accepts_the_configuration_of_alertmanager() -> None:
    result = subprocess.run(["amtool", "check-config", FOLDER / "alertmanager.yml"], capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
