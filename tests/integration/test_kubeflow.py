"""Kubeflow's own runner takes a real run through the pipeline, in processes of this machine; and its own compiler."""

import asyncio
import filecmp
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.registry.subscription import read_registry
from app.settings import CHECKOUT, Settings
from app.tasks import load_tasks
from tests.support.orchestrators import end_session, install_environment, steps_environment
from tests.support.retraining_loop import MANUAL_TRIGGERS, LoopApi, run_drifted_shop, run_platform, wait_until
from tests.support.scales import patient

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

FOLDER = CHECKOUT / "docker" / "kubeflow"
RUN = """
import sys
from kfp import local
from pipeline import hindsight_retraining

task, run_id, outputs = sys.argv[1:]
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=outputs)
hindsight_retraining(task=task, run_id=run_id)
"""


@asynccontextmanager
async def by_its_runner(settings: Settings, run_id: str, outputs: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Kubeflow's local runner with this run, ended with the block."""
    python = await install_environment("kubeflow")
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-c", RUN, "scales", run_id, str(outputs)),
        cwd=FOLDER,
        env=steps_environment(settings, python),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await end_session(process)


async def test_its_local_runner_takes_a_run_to_a_registered_candidate_and_does_a_killed_step_again(
    tmp_path: Path,
) -> None:
    """Hindsight waits meanwhile for a Kubeflow that isn't there."""
    also = {
        "retraining_backend": "kubeflow",
        "kubeflow_url": "http://127.0.0.1:9",
        "tasks": {"scales": "tests.support.scales.patient:PatientScales"},
    }
    async with (
        run_platform(tmp_path, also, **MANUAL_TRIGGERS) as stack,
        run_drifted_shop(stack.settings),
    ):
        settings = stack.settings
        patient.pause_training(settings)
        run_id = await LoopApi(settings).start_run()
        async with by_its_runner(settings, run_id, tmp_path / "outputs") as process:
            trainer = await wait_until(lambda: patient.training_pid(settings))
            os.kill(trainer, signal.SIGKILL)
            await wait_until(lambda: patient.next_training_pid(settings, trainer))
            patient.resume_training(settings)
            said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        registry = await read_registry(settings, load_tasks(settings).values())
        assert registry.tasks["scales"].runs[run_id].registered is not None, said


async def test_the_pipeline_that_is_committed_is_what_its_source_compiles_to(tmp_path: Path) -> None:
    source = tmp_path / "pipeline.py"
    shutil.copy(FOLDER / "pipeline.py", source)
    process = await asyncio.create_subprocess_exec(str(await install_environment("kubeflow")), str(source))
    assert await process.wait() == 0
    assert filecmp.cmp(tmp_path / "pipeline.yaml", FOLDER / "pipeline.yaml", shallow=False)
