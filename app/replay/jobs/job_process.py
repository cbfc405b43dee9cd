"""The process of a replay job: it runs at low priority, and ends with the API's process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.replay.jobs.replay_job import JobDirectory
from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment

SIZE_CHECK_SECONDS = 1.0
"""Interval between checks of the directory's size."""
GiB = 1024**3
_LINE_BYTES = 2**20


async def run_job_process(
    settings: Settings, directory: JobDirectory, progress: Callable[[dict[str, Any]], None]
) -> str | None:
    """Make the dataset of the job in this directory; return the error, or None. Cancellation kills the process."""
    command = (sys.executable, "-m", "app.replay.jobs", str(directory.path.resolve()))
    with directory.log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *command),
            cwd=CHECKOUT,
            env=process_environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    reader = asyncio.create_task(_read_progress(process, progress))
    try:
        while not (await asyncio.wait({reader}, timeout=SIZE_CHECK_SECONDS))[0]:
            if await asyncio.to_thread(directory.size_bytes) > settings.replay_gib * GiB:
                return f"it is larger than HINDSIGHT_REPLAY_GIB, {settings.replay_gib:g}: choose a shorter time range"
        if (error := reader.result()) is not None:
            return error
        code = await process.wait()
        return None if code == 0 else f"its process ended with {code}: see {directory.log}"
    finally:
        reader.cancel()
        with suppress(ProcessLookupError):  # with the Flink process that it may have started
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _read_progress(process: asyncio.subprocess.Process, progress: Callable[[dict[str, Any]], None]) -> str | None:
    """Report the progress lines of the process; return the error with which it ends."""
    assert process.stdout is not None
    error = None
    async for line in process.stdout:
        with suppress(ValueError):  # skip output of libraries
            if isinstance(message := json.loads(line), dict):
                error = message.get("error", error)
                if "doing" in message:
                    progress(message)
    return error
