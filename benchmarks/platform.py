"""The platform with free ports, a home of its own and no demonstration: whole as a child process, or a part."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from app.embedded import api_readiness, ports
from app.embedded.supervisor import Supervisor
from app.errors import SetupError
from app.events import topics
from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment
from benchmarks import resource_usage
from benchmarks.child_process import BenchmarkError, read_tail
from benchmarks.pipeline import TaskTopics
from benchmarks.settling import wait_until_settled
from models.small import SMALL_TASKS

START_SECONDS = 180.0
STOP_SECONDS = 60.0
SUPERVISOR = "supervisor"


def benchmark_settings(home: Path, tasks: Mapping[str, str] = SMALL_TASKS) -> Settings:
    """Return the settings of the environment, with this home, these tasks, the embedded broker and free ports."""
    overrides: dict[str, Any] = {"home": home.resolve(), "tasks": tasks, "demo": False, "kafka_bootstrap": ""}
    free_ports = zip(ports.PROCESS_BY_SETTING, ports.free_ports(len(ports.PROCESS_BY_SETTING)), strict=True)
    return Settings(**overrides | dict(free_ports))


class Stack:
    """The running platform."""

    def __init__(self, settings: Settings, process: asyncio.subprocess.Process, seconds: float) -> None:
        self.settings = settings
        self.start_seconds = seconds
        self._process = process

    @property
    def process_roots(self) -> dict[str, int]:
        """Return the root process of each process type; the supervisor's tree is the rest."""
        pids: dict[str, int] = json.loads((self.settings.home / "processes.json").read_text())
        return {SUPERVISOR: self._process.pid} | pids

    def memory(self) -> resource_usage.Memory:
        """Return the memory in use now."""
        return resource_usage.measure_memory(self.process_roots)

    def cpu(self) -> resource_usage.CpuTimes:
        """Return the CPU time used so far."""
        return resource_usage.measure_cpu(self.process_roots)

    def topics(self, task: str) -> TaskTopics:
        """Return the topics of a task."""
        return TaskTopics(topics.requests(task), topics.predictions(task))

    def paused(self) -> AbstractContextManager[None]:
        """Stop preprocessing for as long as the block lasts."""
        return resource_usage.stopped_trees([self.process_roots["preprocess"]])

    async def settle(self) -> None:
        """Wait until the answers are archived and recorded."""
        await wait_until_settled(self.settings)


@asynccontextmanager
async def run_platform(settings: Settings) -> AsyncIterator[Stack]:
    """Start the platform and stop it after the block. `start_seconds` is from the command until /readyz is ready."""
    settings.home.mkdir(parents=True, exist_ok=True)
    log = settings.home / "up.log"
    started = time.monotonic()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            # It ends with the benchmark, even if that is killed, and its guard ends the processes that it started.
            *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())),
            *(sys.executable, "-m", "app.cli", "up"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=process_environment(settings),
            cwd=CHECKOUT,
        )
    try:
        await _wait_until_ready(settings, process, log)
        yield Stack(settings, process, time.monotonic() - started)
    finally:
        await _stop(process)


@asynccontextmanager
async def run_processes(settings: Settings, *processes: str) -> AsyncIterator[Supervisor]:
    """Run only these processes of the platform, below this one."""
    supervisor = Supervisor(settings, only=processes, console=Console(quiet=True))
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()


async def _wait_until_ready(settings: Settings, process: asyncio.subprocess.Process, log: Path) -> None:
    exit_task = asyncio.create_task(process.wait())
    ready_task = asyncio.create_task(api_readiness.wait_until_ready(settings, START_SECONDS))
    try:
        await asyncio.wait((exit_task, ready_task), return_when=asyncio.FIRST_COMPLETED)
        if exit_task.done():
            raise BenchmarkError(f"the platform has ended; its last output is:\n{read_tail(log)}")
        ready_task.result()
    except SetupError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        for task in (exit_task, ready_task):
            task.cancel()
        await asyncio.gather(exit_task, ready_task, return_exceptions=True)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()  # its guard ends the other processes
        await process.wait()
