"""A real Airflow runs the steps of a real run: by its own command, and as the loop has it run them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from app.registry.following import read
from app.registry.runs import Run
from app.settings import Settings
from app.tasks import load
from tests.support.commands import Done, command
from tests.support.loop import Api, Shop, platform, until
from tests.support.orchestrators import USER, Airflow

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture
async def airflow(tmp_path: Path) -> Airflow:
    return Airflow(tmp_path / "airflow")


@pytest.fixture
async def settings(tmp_path: Path, airflow: Airflow) -> AsyncIterator[Settings]:
    """A platform that has its runs tended by that Airflow, with something to learn."""
    also = {
        "retraining_backend": "airflow",
        "airflow_url": airflow.url,
        "airflow_user": USER,
        "airflow_password": SecretStr(airflow.password),
        "tasks": {"scales": "tests.support.scales.patient:PatientScales"},
    }
    async with platform(tmp_path, also, triggers={"quality_alpha": None}) as stack:
        shop = Shop(stack.settings)
        shop.off = 5.0
        trading = asyncio.create_task(shop.trade())
        try:
            await asyncio.sleep(10)  # of trade; what the log has then is what is learned from
            yield stack.settings
        finally:
            trading.cancel()


async def run_of(settings: Settings, run_id: str) -> Run:
    """The run, as the log has it now."""
    return (await read(settings, load(settings).values())).tasks["scales"].runs[run_id]


async def test_its_own_command_takes_a_run_to_a_registered_candidate(settings: Settings, airflow: Airflow) -> None:
    """Hindsight waits meanwhile for an Airflow that isn't there."""
    run_id = await Api(settings).begin()
    await airflow.run(settings, "db", "migrate")
    conf = json.dumps({"task": "scales", "run_id": run_id})
    await airflow.run(settings, "dags", "test", "hindsight_retraining", "--conf", conf)
    run = await run_of(settings, run_id)
    assert run.registered is not None, run


async def test_the_loop_has_it_run_the_steps_and_end_them(settings: Settings, airflow: Airflow) -> None:
    async with airflow.serving(settings):
        done = await retrain(settings)
        assert done.code == 0, done
        assert json.loads(done.out)["version"] == "2"

        await cancel(settings)  # what is left of that run, its rollout
        (settings.home / "trainer").unlink()
        (settings.home / "wait").touch()
        run_id = await Api(settings).begin()
        trainer = await until(lambda: trainer_of(settings))
        await cancel(settings)
        await until(lambda: gone(trainer))
        assert await until(lambda: airflow.state(run_id, {"failed", "success"})) == "failed"


async def retrain(settings: Settings) -> Done:
    """Run `hindsight retrain`."""
    return await command(settings, sys.executable, "-m", "app.cli", "retrain", "scales", "--json", seconds=300)


async def cancel(settings: Settings) -> None:
    """Run `hindsight retrain --cancel`."""
    done = await command(settings, sys.executable, "-m", "app.cli", "retrain", "scales", "--cancel")
    assert done.code == 0, done


async def trainer_of(settings: Settings) -> int | None:
    """The process that trains, once there is one."""
    with suppress(OSError, ValueError):
        return int(await asyncio.to_thread((settings.home / "trainer").read_text))
    return None


async def gone(pid: int) -> bool:
    """Whether the process is no more."""
    return not psutil.pid_exists(pid)
