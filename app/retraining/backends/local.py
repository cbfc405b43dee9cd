"""The local backend: a run's steps in a child process, which dies with this process."""

import asyncio
import json
import logging
import os
import sys
import time
from contextlib import suppress
from typing import Any

from app.registry.runs import Run
from app.retraining.backends.backend import RunCrashed
from app.retraining.pipeline.run_directory import run_directory
from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment

log = logging.getLogger(__name__)

MAX_CRASHES = 3
"""A run has failed if its process exited this often without an event in the log."""
_BACKOFF_SECONDS = 2.0
_STOP_SECONDS = 10.0
_LINE_BYTES = 2**20


class LocalBackend:
    """Runs one process for each active run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._crashes: dict[str, list[float]] = {}
        self.progress: dict[str, dict[str, Any]] = {}
        """The progress of each run, as `python -m app.retraining` prints it."""

    @property
    def run_ids(self) -> set[str]:
        """The ids of the tracked runs."""
        return set(self._crashes)

    async def ensure_running(self, run: Run) -> None:
        """Start the run's process unless it is running. Raises `RunCrashed`."""
        process = self._processes.get(run.id)
        if process is not None and process.returncode is None:
            return
        crashes = self._crashes.setdefault(run.id, [])
        if process is not None:
            await self._forget(run.id)
            if process.returncode:
                crashes.append(time.monotonic())
                log.warning("run %s of %s ended with %d", run.id, run.task, process.returncode)
        if len(crashes) >= MAX_CRASHES:
            raise RunCrashed(
                f"its process ended {len(crashes)} times: see {run_directory(self._settings, run.id)}/log.txt"
            )
        if crashes and time.monotonic() - crashes[-1] < _BACKOFF_SECONDS:
            return
        await self._start(run)

    async def stop(self, run_id: str) -> None:
        """Terminate the run's process, if there is one."""
        process = self._processes.get(run_id)
        if process is not None and process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            if process.returncode is None:
                process.kill()
                await process.wait()
        await self._forget(run_id)
        self._crashes.pop(run_id, None)
        self.progress.pop(run_id, None)

    async def detach(self, run_id: str) -> None:
        """Stop the run: no other replica can take over a child process."""
        await self.stop(run_id)

    async def close(self) -> None:
        """Terminate all processes."""
        for run_id in self.run_ids:
            await self.stop(run_id)

    async def _start(self, run: Run) -> None:
        directory = run_directory(self._settings, run.id)
        directory.mkdir(parents=True, exist_ok=True)
        command = (sys.executable, "-m", "app.retraining", run.task, run.id)
        with (directory / "log.txt").open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *command),
                cwd=CHECKOUT,
                env=process_environment(self._settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                start_new_session=True,
                limit=_LINE_BYTES,
            )
        self._processes[run.id] = process
        self._readers[run.id] = asyncio.create_task(self._read(run.id, process))

    async def _read(self, run_id: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            with suppress(ValueError):  # a line that a library printed
                if isinstance(progress := json.loads(line), dict):
                    self.progress[run_id] = progress

    async def _forget(self, run_id: str) -> None:
        self._processes.pop(run_id, None)
        if (reader := self._readers.pop(run_id, None)) is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
