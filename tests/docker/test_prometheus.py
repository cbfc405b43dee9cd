"""The rules of `docker/prometheus`: that they hold together, and that Prometheus' own tool finds them right."""

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


def named(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_a_rule_names_only_what_there_is(rule: dict[str, Any]) -> None:
    assert all_exist(rule["expr"])


@pytest.mark.parametrize("rule", ALERTS, ids=named)
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    page, _, heading = rule["annotations"]["runbook"].partition("#")
    assert (page, heading) == ("docs/runbooks.md", rule["alert"].lower())
    assert heading in HEADINGS


def test_every_runbook_is_an_alerts() -> None:
    assert {rule["alert"].lower() for rule in ALERTS} == HEADINGS


@pytest.mark.parametrize("rule", ALERTS, ids=named)
def test_an_alert_is_tested_to_fire_and_to_be_silent(rule: dict[str, Any]) -> None:
    expected = [case["exp_alerts"] for case in CASES if case["alertname"] == rule["alert"]]
    assert any(expected)
    assert [] in expected


@pytest.mark.parametrize("rule", ALERTS, ids=named)
def test_an_alert_about_a_task_names_it(rule: dict[str, Any]) -> None:
    fired = [one for case in CASES if case["alertname"] == rule["alert"] for one in case["exp_alerts"]]
    about_a_task = bool(
        promql.metric_names(rule["expr"]) & (RECORDED | {name for name in METRIC_NAMES if _of_task(name)})
    )
    assert all(("task" in one["exp_labels"]) == about_a_task for one in fired)


def _of_task(name: str) -> bool:
    of_others = ("ready", "heartbeat_age_seconds", "disk_free_bytes", "archive_lost_events_total")
    return name.startswith("hindsight_") and name.removeprefix("hindsight_") not in of_others


def promtool(*arguments: str | Path) -> None:
    said = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.needs("promtool")
def test_promtool_finds_the_configuration_and_the_rules_right() -> None:
    promtool("check", "config", "prometheus.yml")


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("tests/*.yml")), ids=lambda path: path.stem)
def test_promtool_sees_the_rules_do_what_their_tests_say(path: Path) -> None:
    promtool("test", "rules", path)


@pytest.mark.needs("amtool")
def test_amtool_finds_alertmanagers_configuration_right() -> None:
    said = subprocess.run(["amtool", "check-config", FOLDER / "alertmanager.yml"], capture_output=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
