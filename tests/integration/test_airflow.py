"""A real Airflow runs the steps of a real run: by its own command, and as the loop has it run them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.registry.following import read
from app.registry.runs import Run
from app.settings import Settings
from app.tasks import load
from tests.support.commands import command
from tests.support.loop import Api, Shop, platform, until
from tests.support.orchestrators import USER, Airflow

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture
async def airflow(tmp_path: Path) -> Airflow:
    found = Airflow(tmp_path / "airflow")
    return found


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
    again = await airflow.run(settings, "dags", "test", "hindsight_retraining", "--conf", conf)
    assert "replay" not in again
    assert (await run_of(settings, run_id)).registered == run.registered
