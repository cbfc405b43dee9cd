"""The compiled pipeline of docker/kubeflow, as it is committed. That its source compiles to it, `make soak` shows."""

from typing import Any

import pytest
import yaml

from app.retraining.backends.kubeflow import PIPELINE
from app.retraining.pipeline.steps import STEPS


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    found, _ = yaml.safe_load_all(PIPELINE.read_text())
    return dict(found)


def in_order(tasks: dict[str, Any]) -> list[str]:
    """The names of tasks, each of which waits for the one before."""
    order: list[str] = []
    while len(order) < len(tasks):
        [following] = [key for key, task in tasks.items() if task.get("dependentTasks", []) == order[-1:]]
        order.append(following)
    return order


def test_its_tasks_are_the_steps_in_their_order(spec: dict[str, Any]) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    found = [tasks[key] for key in in_order(tasks)]
    assert [task["taskInfo"]["name"] for task in found] == list(STEPS)
    assert [task["inputs"]["parameters"]["step"]["runtimeValue"]["constant"] for task in found] == list(STEPS)


def test_what_a_step_has_done_once_is_never_taken_from_a_cache(spec: dict[str, Any]) -> None:
    """The log says what is done, and nothing else does."""
    assert all(not task["cachingOptions"].get("enableCache") for task in spec["root"]["dag"]["tasks"].values())


def test_it_asks_for_what_its_backend_gives(spec: dict[str, Any]) -> None:
    assert set(spec["root"]["inputDefinitions"]["parameters"]) == {"task", "run_id"}
