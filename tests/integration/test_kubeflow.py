"""Kubeflow's local runner runs the pipeline of a real run, in processes of this machine; its compiler compiles it."""

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
async def run_pipeline(settings: Settings, run_id: str, outputs: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the pipeline of a run in Kubeflow's local runner, which ends with the block."""
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


async def test_kubeflows_runner_runs_all_steps_and_repeats_one_that_was_killed(tmp_path: Path) -> None:
    """No Kubeflow answers at the URL, so that Hindsight cannot submit the run itself."""
    extra_settings = {
        "retraining_backend": "kubeflow",
        "kubeflow_url": "http://127.0.0.1:9",
        "tasks": {"scales": "tests.support.scales.patient:PatientScales"},
    }
    async with (
        run_platform(tmp_path, extra_settings, **MANUAL_TRIGGERS) as stack,
        run_drifted_shop(stack.settings),
    ):
        settings = stack.settings
        patient.pause_training(settings)
        run_id = await LoopApi(settings).start_run()
        async with run_pipeline(settings, run_id, tmp_path / "outputs") as process:
            trainer = await wait_until(lambda: patient.training_pid(settings))
            os.kill(trainer, signal.SIGKILL)
            await wait_until(lambda: patient.next_training_pid(settings, trainer))
            patient.resume_training(settings)
            output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        registry = await read_registry(settings, load_tasks(settings).values())
        assert registry.tasks["scales"].runs[run_id].registered is not None, output


async def test_the_committed_pipeline_is_compiled_from_its_source(tmp_path: Path) -> None:
    source = tmp_path / "pipeline.py"
    shutil.copy(FOLDER / "pipeline.py", source)
    process = await asyncio.create_subprocess_exec(str(await install_environment("kubeflow")), str(source))
    assert await process.wait() == 0
    assert filecmp.cmp(tmp_path / "pipeline.yaml", FOLDER / "pipeline.yaml", shallow=False)
