"""The real platform, `hindsight up`, as a child of the benchmark: free ports, a home of its own, no demonstration."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from app.embedded import ports, readiness
from app.errors import SetupError
from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment
from benchmarks import resource_usage
from benchmarks.child_process import BenchmarkError

START_SECONDS = 180.0
STOP_SECONDS = 60.0
SUPERVISOR = "supervisor"


def benchmark_settings(home: Path) -> Settings:
    """The settings of the environment, but with this home, the embedded broker and every port free."""
    chosen: dict[str, Any] = {"home": home.resolve(), "demo": False, "kafka_bootstrap": ""}
    numbers = zip(ports.PROCESS_BY_SETTING, ports.free_ports(len(ports.PROCESS_BY_SETTING)), strict=True)
    return Settings(**chosen | dict(numbers))


class Stack:
    """The platform while it runs."""

    def __init__(self, settings: Settings, process: asyncio.subprocess.Process, seconds: float) -> None:
        self.settings = settings
        self.start_seconds = seconds
        self._process = process

    @property
    def process_roots(self) -> dict[str, int]:
        """The root of each process type's tree; the supervisor's is what else there is."""
        found: dict[str, int] = json.loads((self.settings.home / "processes.json").read_text())
        return {SUPERVISOR: self._process.pid} | found

    def memory(self) -> resource_usage.Memory:
        """What all of it holds now."""
        return resource_usage.measure_memory(self.process_roots)

    def cpu(self) -> resource_usage.CpuTimes:
        """What all of it has used so far."""
        return resource_usage.measure_cpu(self.process_roots)

    @contextmanager
    def pause_process(self, name: str) -> Iterator[None]:
        """One process type stands still, warm as it is, for as long as the block lasts."""
        members = resource_usage.tree_pids(self.process_roots, name)
        for pid in members:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in members:
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def run_platform(settings: Settings) -> AsyncIterator[Stack]:
    """The platform, from ready to stopped. `start_seconds` is from the command to a ready answer of /readyz."""
    settings.home.mkdir(parents=True, exist_ok=True)
    log = settings.home / "up.log"
    began = time.monotonic()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            # It dies with the benchmark, even with one that is killed, and its guard ends what it started.
            *(
                sys.executable,
                "-I",
                "-S",
                parent_death.__file__,
                str(os.getpid()),
                sys.executable,
                "-m",
                "app.cli",
                "up",
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=process_environment(settings),
            cwd=CHECKOUT,
        )
    try:
        await _wait_until_ready(settings, process, log)
        yield Stack(settings, process, time.monotonic() - began)
    finally:
        await _stop(process)


async def _wait_until_ready(settings: Settings, process: asyncio.subprocess.Process, log: Path) -> None:
    ended = asyncio.create_task(process.wait())
    waiting = asyncio.create_task(readiness.wait_until_ready(settings, START_SECONDS))
    try:
        await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise BenchmarkError(f"the platform has ended; it said last:\n{_tail(log)}")
        waiting.result()
    except SetupError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        for task in (ended, waiting):
            task.cancel()
        await asyncio.gather(ended, waiting, return_exceptions=True)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-8:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()  # its guard ends the others
        await process.wait()
