"""The time and memory of a run are bounded, and the task is served meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.retraining_loop import LoopApi, run_platform, run_shop, wait_until


async def run_with_bounds(directory: Path, **bounds: Any) -> dict[str, Any]:
    """Start a run with these bounds, and return it when it has ended."""
    async with run_platform(
        directory, triggers={"min_new_labels": None, "quality_alpha": None, "drift_windows": None}, **bounds
    ) as stack:
        api = LoopApi(stack.settings)
        async with run_shop(stack.settings):
            await asyncio.sleep(5)
            run_id = await api.start_run()
            run: dict[str, Any] = await wait_until(lambda: api.find_ended_run(run_id))
        assert (await api.read_route())["champion"] == "1"
    return run


@pytest.mark.soak
async def test_a_run_that_takes_too_long_is_ended_with_the_setting_that_bounds_it(tmp_path: Path) -> None:
    run = await run_with_bounds(tmp_path, timeout_minutes=0.01)
    assert run["outcome"] == "failed"
    assert "raise timeout_minutes" in run["reason"]


@pytest.mark.soak
async def test_a_run_that_needs_too_much_memory_is_ended_with_the_setting_that_bounds_it(tmp_path: Path) -> None:
    run = await run_with_bounds(tmp_path, max_memory_gib=0.2)
    assert run["outcome"] == "failed"
    assert run["reason"] == "dataset: it needs more than 0.2 GiB; raise max_memory_gib"
