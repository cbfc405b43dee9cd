"""Kubeflow's own runner takes a real run through the pipeline, in processes of this machine; and its own compiler."""

import asyncio
import filecmp
import shutil
from pathlib import Path

import pytest

from app.registry.following import read
from app.settings import CHECKOUT
from app.tasks import load
from tests.support.loop import Api, Shop, platform
from tests.support.orchestrators import installed, steps_environment

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

FOLDER = CHECKOUT / "docker" / "kubeflow"
RUN = """
import sys
from kfp import local
from pipeline import hindsight_retraining

local.init(local.SubprocessRunner(use_venv=False))
hindsight_retraining(task=sys.argv[1], run_id=sys.argv[2])
"""


async def test_its_local_runner_takes_a_run_to_a_registered_candidate(tmp_path: Path) -> None:
    """Hindsight waits meanwhile for a Kubeflow that isn't there."""
    also = {"retraining_backend": "kubeflow", "kubeflow_url": "http://127.0.0.1:9"}
    async with platform(tmp_path, also, triggers={"quality_alpha": None}) as stack, asyncio.TaskGroup() as group:
        shop = Shop(stack.settings)
        shop.off = 5.0
        trading = group.create_task(shop.trade())
        await asyncio.sleep(10)  # of trade; what the log has then is what is learned from
        run_id = await Api(stack.settings).begin()
        python = await installed("kubeflow")
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-c", RUN, "scales", run_id),
            cwd=FOLDER,
            env=steps_environment(stack.settings, python),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await asyncio.wait_for(process.communicate(), 240))[0].decode()
        assert process.returncode == 0, said
        registry = await read(stack.settings, load(stack.settings).values())
        assert registry.tasks["scales"].runs[run_id].registered is not None, said
        trading.cancel()


async def test_the_pipeline_that_is_committed_is_what_its_source_compiles_to(tmp_path: Path) -> None:
    source = tmp_path / "pipeline.py"
    shutil.copy(FOLDER / "pipeline.py", source)
    process = await asyncio.create_subprocess_exec(str(await installed("kubeflow")), str(source))
    assert await process.wait() == 0
    assert filecmp.cmp(tmp_path / "pipeline.yaml", FOLDER / "pipeline.yaml", shallow=False)
