"""The cleanup of ended runs, and the selection of the backend."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from app.errors import SetupError
from app.events.base import ModelRef
from app.events.lifecycle import RetrainingEnded
from app.events.model_events import DatasetBuilt, ModelBacktested, ModelEvaluated, ModelRegistered, ModelTrained
from app.registry.runs import Run
from app.retraining.backends.backend import clean_up
from app.retraining.backends.factory import create_backend
from app.retraining.backends.local import LocalBackend
from app.retraining.backends.remote import RemoteBackend
from app.settings import Settings
from tests.app.retraining.backends.test_local import make_run
from tests.support.record_strategies import START


class RecordingBackend:
    """A backend that records its calls."""

    def __init__(self, *tended: str) -> None:
        self.run_ids = set(tended)
        self.asked: list[tuple[str, str]] = []
        self.progress: Mapping[str, dict[str, Any]] = {}

    async def ensure_running(self, run: Run) -> None:
        self.asked.append(("tend", run.id))

    async def stop(self, run_id: str) -> None:
        self.asked.append(("stop", run_id))

    async def detach(self, run_id: str) -> None:
        self.asked.append(("release", run_id))

    async def close(self) -> None:
        self.asked.append(("close", ""))


def ended_run(outcome: str) -> Run:
    run = make_run()
    said = {"task": "scales", "run_id": "r", "outcome": outcome, "reason": "-"}
    assert run.apply(RetrainingEnded.model_validate(said), START)
    return run


def rollout_run() -> Run:
    run = make_run()
    steps: tuple[Any, ...] = (DatasetBuilt, ModelTrained, ModelBacktested, ModelEvaluated, ModelRegistered)
    of_run = {"task": "scales", "run_id": "r", "model": ModelRef(name="scales", version="r"), "candidate": "r"}
    assert all(run.apply(step.model_construct(**of_run, passed=True), START) for step in steps)
    assert run.step == "rollout"
    return run


@pytest.mark.parametrize("outcome", ["cancelled", "failed"])
async def test_the_steps_of_a_cancelled_or_failed_run_are_stopped(outcome: str) -> None:
    backend = RecordingBackend("r")
    await clean_up(backend, {"r": ended_run(outcome)})
    assert backend.asked == [("stop", "r")]


@pytest.mark.parametrize(
    "run", [ended_run("refused"), ended_run("promoted"), rollout_run()], ids=lambda run: str(run.step)
)
async def test_a_run_that_has_done_its_steps_is_detached(run: Run) -> None:
    backend = RecordingBackend("r")
    await clean_up(backend, {"r": run})
    assert backend.asked == [("release", "r")]


async def test_runs_at_their_steps_and_untracked_runs_are_left_alone() -> None:
    backend = RecordingBackend("r", "of another task")
    await clean_up(backend, {"r": make_run(), "s": ended_run("cancelled")})
    assert backend.asked == []


async def test_one_setting_selects_the_backend() -> None:
    airflow: dict[str, Any] = {"airflow_url": "http://airflow:8080", "airflow_token": SecretStr("t")}
    assert isinstance(create_backend(Settings()), LocalBackend)
    for settings in (
        Settings(retraining_backend="airflow", **airflow),
        Settings(retraining_backend="kubeflow", kubeflow_url="http://ml-pipeline:8888"),
    ):
        backend = create_backend(settings)
        assert isinstance(backend, RemoteBackend)
        await backend.close()


@pytest.mark.parametrize(
    ("missing", "settings"),
    [
        ("HINDSIGHT_AIRFLOW_URL", {"retraining_backend": "airflow"}),
        ("password", {"retraining_backend": "airflow", "airflow_url": "http://a", "airflow_user": "ada"}),
        ("HINDSIGHT_KUBEFLOW_URL", {"retraining_backend": "kubeflow"}),
    ],
)
def test_missing_settings_are_reported_by_name(missing: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=missing):
        create_backend(Settings(**settings))
