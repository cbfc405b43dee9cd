"""The DAG of docker/airflow, loaded with fakes of Airflow's classes; tests/integration has a real Airflow."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import pytest

from app.retraining.backends.airflow import DAG_ID
from app.retraining.pipeline.steps import STEPS
from app.settings import CHECKOUT

PATH = CHECKOUT / "docker" / "airflow" / "dags" / "hindsight_retraining.py"


class Node:
    """A fake DAG or task: it keeps its arguments and the tasks that follow it."""

    created: ClassVar[list["Node"]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments, self.options = arguments, options
        self.after: list[Node] = []
        self.created.append(self)

    def __rshift__(self, other: "Node") -> "Node":
        self.after.append(other)
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The DAG and its tasks."""
    sdk, bash = ModuleType("airflow.sdk"), ModuleType("airflow.providers.standard.operators.bash")
    sdk.DAG, sdk.Param, bash.BashOperator = Node, dict, Node  # type: ignore[attr-defined]
    for module in (sdk, bash):
        parts = module.__name__.split(".")
        for length in range(1, len(parts)):
            name = ".".join(parts[:length])
            monkeypatch.setitem(sys.modules, name, sys.modules.get(name, ModuleType(name)))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Node, "created", [])
    runpy.run_path(str(PATH))
    return Node.created


def test_the_tasks_of_the_dag_are_the_steps_in_their_order(nodes: list[Node]) -> None:
    dag, *tasks = nodes
    assert dag.arguments == (DAG_ID,)
    assert [task.options["task_id"] for task in tasks] == list(STEPS)
    assert [task.after for task in tasks] == [[after] for after in tasks[1:]] + [[]]


def test_a_task_runs_its_step_and_no_shell_interprets_the_parameters_of_a_run(
    nodes: list[Node], tmp_path: Path
) -> None:
    """Airflow rejects parameters that do not match their schema; a shell must not interpret others either."""
    hostile = "; touch broken $(touch broken)"
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n')
    python.chmod(0o755)
    for step, task in zip(STEPS, nodes[1:], strict=True):
        assert task.options["env"] == {"TASK": "{{ params.task }}", "RUN_ID": "{{ params.run_id }}"}
        paths = {"HINDSIGHT_CHECKOUT": str(tmp_path), "HINDSIGHT_PYTHON": str(python)}
        done = subprocess.run(
            ["bash", "-c", task.options["bash_command"]],
            env=os.environ | paths | {"TASK": hostile, "RUN_ID": "--step"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines() == [
            *(str(tmp_path), "-m", "app.retraining", "--step", step, "--", hostile, "--step")
        ]
    assert not (tmp_path / "broken").exists()
