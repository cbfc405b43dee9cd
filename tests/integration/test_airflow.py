"""A real Airflow runs the steps of real runs: by its own command, and as its backend submits and cancels them."""

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
from app.registry.subscription import read_registry
from app.retraining.backends import airflow as orchestrator
from app.settings import Settings
from app.tasks import load_tasks
from tests.support.commands import CommandResult, run_command
from tests.support.orchestrators import USER, Airflow
from tests.support.retraining_loop import MANUAL_TRIGGERS, LoopApi, run_drifted_shop, run_platform, wait_until
from tests.support.scales import patient

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@asynccontextmanager
async def shop(directory: Path, airflow: Airflow, **retraining: float) -> AsyncIterator[Settings]:
    """Run a platform whose backend is that Airflow, with a shop."""
    extra_settings = {
        "retraining_backend": "airflow",
        "airflow_url": airflow.url,
        "airflow_user": USER,
        "airflow_password": SecretStr(airflow.password),
        "tasks": {"scales": "tests.support.scales.patient:PatientScales"},
    }
    async with (
        run_platform(directory, extra_settings, **MANUAL_TRIGGERS, **retraining) as stack,
        run_drifted_shop(stack.settings),
    ):
        yield stack.settings


@pytest.fixture
async def airflow(tmp_path: Path) -> Airflow:
    return Airflow(tmp_path / "airflow")


async def read_run(settings: Settings, run_id: str) -> Run:
    """Return the run as it is in the log."""
    return (await read_registry(settings, load_tasks(settings).values())).tasks["scales"].runs[run_id]


async def test_airflows_own_command_runs_all_steps_until_a_candidate_is_registered(
    tmp_path: Path, airflow: Airflow
) -> None:
    """Airflow's API server does not run, so that Hindsight cannot submit the run itself."""
    async with shop(tmp_path, airflow) as settings:
        run_id = await LoopApi(settings).start_run()
        await airflow.run_command(settings, "db", "migrate")
        conf = json.dumps({"task": "scales", "run_id": run_id})
        output = await airflow.run_command(settings, "dags", "test", "hindsight_retraining", "--conf", conf)
        assert (await read_run(settings, run_id)).registered is not None, output


async def test_airflow_runs_the_steps_of_a_run_and_repeats_one_that_was_killed(
    tmp_path: Path, airflow: Airflow
) -> None:
    async with shop(tmp_path, airflow) as settings, airflow.run_services(settings):
        patient.pause_training(settings)
        retraining = asyncio.create_task(retrain(settings))
        trainer = await wait_until(lambda: patient.training_pid(settings))

        [run_id] = await airflow.dag_run_states()
        backend = orchestrator.Airflow(settings)
        await backend.submit(await read_run(settings, run_id))  # a second time, which must not start another
        await backend.close()

        os.kill(trainer, signal.SIGKILL)
        await wait_until(lambda: patient.next_training_pid(settings, trainer))
        patient.resume_training(settings)
        done = await retraining
        assert done.code == 0, done
        assert json.loads(done.out)["version"] == "2"

        async def is_successful() -> bool:  # the scheduler notices shortly after the last step
            return await airflow.dag_run_states() == {run_id: "success"}

        assert await wait_until(is_successful)


async def test_airflow_ends_a_run_that_is_cancelled_and_one_that_takes_too_long(
    tmp_path: Path, airflow: Airflow
) -> None:
    async with shop(tmp_path, airflow, timeout_minutes=1) as settings, airflow.run_services(settings):
        patient.pause_training(settings)
        cancelled = await LoopApi(settings).start_run()
        trainer = await wait_until(lambda: patient.training_pid(settings))
        done = await run_command(settings, sys.executable, "-m", "app.cli", "retrain", "scales", "--cancel")
        assert done.code == 0, done
        await wait_until(lambda: patient.is_gone(trainer))

        slow = await LoopApi(settings).start_run()
        trainer = await wait_until(lambda: patient.next_training_pid(settings, trainer))
        run = await wait_until(lambda: LoopApi(settings).find_ended_run(slow))
        assert (run["outcome"], run["reason"]) == (
            "failed",
            "train: it took more than 1 minutes; raise timeout_minutes",
        )
        await wait_until(lambda: patient.is_gone(trainer))
        assert await airflow.dag_run_states() == {cancelled: "failed", slow: "failed"}


async def retrain(settings: Settings) -> CommandResult:
    """Run `hindsight retrain`."""
    return await run_command(settings, sys.executable, "-m", "app.cli", "retrain", "scales", "--json", seconds=300)
