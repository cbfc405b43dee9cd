"""The DAG of docker/airflow, read with stand-ins for Airflow's classes; a real Airflow is in tests/integration."""

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
    """What the DAG's file makes: it keeps its arguments, and what comes after it."""

    made: ClassVar[list["Node"]] = []

    def __init__(self, *given: Any, **named: Any) -> None:
        self.given, self.named = given, named
        self.after: list[Node] = []
        self.made.append(self)

    def __rshift__(self, other: "Node") -> "Node":
        self.after.append(other)
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The DAG, and its tasks."""
    sdk, bash = ModuleType("airflow.sdk"), ModuleType("airflow.providers.standard.operators.bash")
    sdk.DAG, sdk.Param, bash.BashOperator = Node, dict, Node  # type: ignore[attr-defined]
    for module in (sdk, bash):
        parts = module.__name__.split(".")
        for length in range(1, len(parts)):
            name = ".".join(parts[:length])
            monkeypatch.setitem(sys.modules, name, sys.modules.get(name, ModuleType(name)))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Node, "made", [])
    runpy.run_path(str(PATH))
    return Node.made


def test_its_tasks_are_the_steps_in_their_order(nodes: list[Node]) -> None:
    dag, *tasks = nodes
    assert dag.given == (DAG_ID,)
    assert [task.named["task_id"] for task in tasks] == list(STEPS)
    assert [task.after for task in tasks] == [[after] for after in tasks[1:]] + [[]]


def test_a_task_runs_its_step_and_takes_what_comes_from_outside_as_it_is(nodes: list[Node], tmp_path: Path) -> None:
    """Where a form is not kept to, Airflow refuses it; were it not to, no shell would read it."""
    hostile = "; touch broken $(touch broken)"
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n')
    python.chmod(0o755)
    for step, task in zip(STEPS, nodes[1:], strict=True):
        assert task.named["env"] == {"TASK": "{{ params.task }}", "RUN_ID": "{{ params.run_id }}"}
        given = {"HINDSIGHT_CHECKOUT": str(tmp_path), "HINDSIGHT_PYTHON": str(python)}
        done = subprocess.run(
            ["bash", "-c", task.named["bash_command"]],
            env=os.environ | given | {"TASK": hostile, "RUN_ID": "--step"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines() == [
            *(str(tmp_path), "-m", "app.retraining", "--step", step, "--", hostile, "--step")
        ]
    assert not (tmp_path / "broken").exists()
