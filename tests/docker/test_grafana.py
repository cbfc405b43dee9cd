"""The dashboards of `docker/grafana` show only metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import CHECKOUT
from tests.support.metrics_exposition import METRIC_NAMES, all_exist
from tests.support.promql import metric_names

FOLDER = CHECKOUT / "docker" / "grafana"
RULES = CHECKOUT / "docker" / "prometheus" / "rules"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("dashboards/*.json"))}
PANELS = {f"{name}: {panel['title']}": panel for name, board in DASHBOARDS.items() for panel in board["panels"]}


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def test_there_are_two_dashboards_with_different_ids() -> None:
    assert DASHBOARDS.keys() == {"tasks", "platform"}
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_shows_only_metrics_that_exist(panel: dict[str, Any]) -> None:
    assert all(all_exist(expression) for expression in expressions(panel))


def test_every_metric_is_in_a_dashboard_or_a_rule() -> None:
    in_dashboards = {
        name for panel in PANELS.values() for expression in expressions(panel) for name in metric_names(expression)
    }
    in_rules = {name for path in RULES.glob("*.yml") for name in metric_names(path.read_text())}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC_NAMES if name.startswith("hindsight_")}
    assert families <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in in_dashboards | in_rules}


def test_the_variable_of_the_task_dashboard_lists_the_tasks_with_a_route() -> None:
    [variable] = DASHBOARDS["tasks"]["templating"]["list"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
    assert (metric in METRIC_NAMES, label) == (True, variable["name"])
    for panel in DASHBOARDS["tasks"]["panels"]:
        assert all("$task" in expression for expression in expressions(panel))


def test_every_panel_reads_from_the_provisioned_prometheus() -> None:
    [source] = yaml.safe_load((FOLDER / "provisioning/datasources/hindsight.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS.values()} == {source["uid"]}


@pytest.mark.needs("promtool")
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    queries = [
        expression.replace("$__rate_interval", "5m") for panel in PANELS.values() for expression in expressions(panel)
    ]
    rules = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    result = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
