"""The committed pipeline of docker/kubeflow. `make soak` checks that its source compiles to it."""

from typing import Any

import pytest
import yaml

from app.retraining.backends.kubeflow import PIPELINE
from app.retraining.pipeline.steps import STEPS


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    pipeline, _ = yaml.safe_load_all(PIPELINE.read_text())
    return dict(pipeline)


def sort_tasks(tasks: dict[str, Any]) -> list[str]:
    """Return the keys of tasks of which each depends on the one before."""
    keys: list[str] = []
    while len(keys) < len(tasks):
        [next_key] = [key for key, task in tasks.items() if task.get("dependentTasks", []) == keys[-1:]]
        keys.append(next_key)
    return keys


def test_the_tasks_of_the_pipeline_are_the_steps_in_their_order(spec: dict[str, Any]) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    in_order = [tasks[key] for key in sort_tasks(tasks)]
    assert [task["taskInfo"]["name"] for task in in_order] == list(STEPS)
    assert [task["inputs"]["parameters"]["step"]["runtimeValue"]["constant"] for task in in_order] == list(STEPS)


def test_no_step_is_cached(spec: dict[str, Any]) -> None:
    """Only the log decides which steps are done."""
    assert all(not task["cachingOptions"].get("enableCache") for task in spec["root"]["dag"]["tasks"].values())


def test_the_parameters_of_the_pipeline_are_those_that_its_backend_submits(spec: dict[str, Any]) -> None:
    assert set(spec["root"]["inputDefinitions"]["parameters"]) == {"task", "run_id"}
