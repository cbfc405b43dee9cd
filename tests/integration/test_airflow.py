"""A real Airflow runs the steps of real runs: by its own command, and as the loop has it run them, and end them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.registry.runs import Run
from app.registry.subscription import read
from app.retraining.backends import airflow as orchestrator
from app.settings import Settings
from app.tasks import load
from tests.support.commands import Done, command
from tests.support.orchestrators import USER, Airflow
from tests.support.retraining_loop import BY_HAND, Api, platform, until, with_something_to_learn
from tests.support.scales import patient

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@asynccontextmanager
async def shop(directory: Path, airflow: Airflow, **retraining: float) -> AsyncIterator[Settings]:
    """A platform that has its runs tended by that Airflow."""
    also = {
        "retraining_backend": "airflow",
        "airflow_url": airflow.url,
        "airflow_user": USER,
        "airflow_password": SecretStr(airflow.password),
        "tasks": {"scales": "tests.support.scales.patient:PatientScales"},
    }
    async with (
        platform(directory, also, **BY_HAND, **retraining) as stack,
        with_something_to_learn(stack.settings),
    ):
        yield stack.settings


@pytest.fixture
async def airflow(tmp_path: Path) -> Airflow:
    return Airflow(tmp_path / "airflow")


async def run_of(settings: Settings, run_id: str) -> Run:
    """The run, as the log has it now."""
    return (await read(settings, load(settings).values())).tasks["scales"].runs[run_id]


async def test_its_own_command_takes_a_run_to_a_registered_candidate(tmp_path: Path, airflow: Airflow) -> None:
    """Hindsight waits meanwhile for an Airflow that isn't there."""
    async with shop(tmp_path, airflow) as settings:
        run_id = await Api(settings).begin()
        await airflow.run(settings, "db", "migrate")
        conf = json.dumps({"task": "scales", "run_id": run_id})
        said = await airflow.run(settings, "dags", "test", "hindsight_retraining", "--conf", conf)
        assert (await run_of(settings, run_id)).registered is not None, said


async def test_the_loop_has_it_run_the_steps_and_again_one_that_was_killed(tmp_path: Path, airflow: Airflow) -> None:
    async with shop(tmp_path, airflow) as settings, airflow.serving(settings):
        patient.wait(settings)
        retraining = asyncio.create_task(retrain(settings))
        trainer = await until(lambda: patient.trainer(settings))

        [run_id] = await airflow.states()
        asked_again = orchestrator.Airflow(settings)
        await asked_again.submit(await run_of(settings, run_id))
        await asked_again.close()

        os.kill(trainer, signal.SIGKILL)
        await until(lambda: patient.another_trainer(settings, trainer))
        patient.go_on(settings)
        done = await retraining
        assert done.code == 0, done
        assert json.loads(done.out)["version"] == "2"

        async def over() -> bool:  # the scheduler says so a moment after the last step
            return await airflow.states() == {run_id: "success"}

        assert await until(over)


async def test_the_loop_has_it_end_a_run_that_is_cancelled_and_one_that_takes_too_long(
    tmp_path: Path, airflow: Airflow
) -> None:
    async with shop(tmp_path, airflow, timeout_minutes=1) as settings, airflow.serving(settings):
        patient.wait(settings)
        cancelled = await Api(settings).begin()
        trainer = await until(lambda: patient.trainer(settings))
        done = await command(settings, sys.executable, "-m", "app.cli", "retrain", "scales", "--cancel")
        assert done.code == 0, done
        await until(lambda: patient.gone(trainer))

        slow = await Api(settings).begin()
        trainer = await until(lambda: patient.another_trainer(settings, trainer))
        run = await until(lambda: Api(settings).run(slow))
        assert (run["outcome"], run["reason"]) == (
            "failed",
            "train: it took more than 1 minutes; raise timeout_minutes",
        )
        await until(lambda: patient.gone(trainer))
        assert await airflow.states() == {cancelled: "failed", slow: "failed"}


async def retrain(settings: Settings) -> Done:
    """Run `hindsight retrain`."""
    return await command(settings, sys.executable, "-m", "app.cli", "retrain", "scales", "--json", seconds=300)
