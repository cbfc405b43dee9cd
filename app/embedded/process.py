"""A supervised process: started, logged, and restarted whenever it ends or a restart is requested."""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from app.embedded import orphans
from app.embedded.console import ConsolePrinter, ProcessLog
from app.monitoring.heartbeat import heartbeat_path
from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment

MIN_RESTART_DELAY_SECONDS = 0.5
MAX_RESTART_DELAY_SECONDS = 10.0
GRACE_SECONDS = 12.0
HEALTHY_SECONDS = 30.0
"""The restart delay is reset once a process has run for so long."""


class SupervisedProcess:
    """Process of a line of the Procfile, kept running from `start` to `stop`."""

    def __init__(
        self, name: str, command: str, config: Settings, printer: ConsolePrinter, on_change: Callable[[], None]
    ) -> None:
        self.name = name
        self.command = command
        self.pid: int | None = None
        """None while the process does not run."""
        self.restarts = 0
        self.started_at: float | None = None
        """Unix time of the last start."""
        self.restart_reason = ""
        """Reason of the last restart."""
        self.restarted_at: float | None = None
        """Unix time of the last restart."""
        self.log = ProcessLog(config.home / "logs" / f"{name}.log", printer)
        self._home = config.home
        self._process_mark = f"{os.getpid()}/{name}"
        self._environment = process_environment(config) | {orphans.PROCESS_VARIABLE: self._process_mark}
        self._printer = printer
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._requested_reason = ""
        """Reason of a requested restart that is in progress."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the process, and keep it running."""
        self._task = asyncio.create_task(self._keep_running(), name=f"keep {self.name} running")

    async def stop(self, grace_seconds: float) -> None:
        """Ask the process to end, and kill it with all its children after the grace period."""
        self._stopping.set()
        if self._task is None:
            self.log.close()
            return
        self._signal(signal.SIGTERM)
        _, pending = await asyncio.wait([self._task], timeout=grace_seconds)
        if pending:
            self._printer.print_lines(f"has not ended within {grace_seconds:g} s: killing it", "yellow")
            await asyncio.to_thread(orphans.kill_processes, self._home, self._process_mark)
        await self._task
        self._task = None
        self.log.close()

    async def restart(self, reason: str, *, graceful: bool = False) -> None:
        """Kill the process with its children and start it again. `graceful`: ask it to end before."""
        pid = self.pid
        if pid is None:  # it is being restarted already
            return
        self._requested_reason = reason
        if graceful:
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while self.pid == pid and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
        if self.pid == pid:
            self._signal(signal.SIGKILL)  # `_run_once` then kills its children

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _keep_running(self) -> None:
        delay = MIN_RESTART_DELAY_SECONDS
        while not self._stopping.is_set():
            start = time.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                break
            requested, self._requested_reason = self._requested_reason, ""
            delay = MIN_RESTART_DELAY_SECONDS if requested or time.monotonic() - start > HEALTHY_SECONDS else delay
            self.restart_reason, self.restarted_at = requested or describe_exit_code(code), time.time()
            if requested:
                self._printer.print_lines(f"{requested}: it was ended; restarting it in {delay:g} s", "yellow")
            else:
                tail = "".join(f"\n    {line}" for line in self.log.tail)
                self._printer.print_lines(
                    f"{self.restart_reason}; restarting it in {delay:g} s. Last output:{tail}", "red"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            if not self._stopping.is_set():
                self.restarts += 1
            delay = min(2 * delay, MAX_RESTART_DELAY_SECONDS)

    async def _run_once(self) -> int:
        """Start the process, log its output until it ends, and kill the children it leaves. Return its exit code."""
        self.log.tail.clear()
        # Our own pipe: asyncio's reports no end of the process while one of its children holds the other side.
        read_end, write_end = os.pipe()
        reading = asyncio.create_task(self._read_output(read_end))
        try:
            process = await asyncio.create_subprocess_exec(
                # Isolated and without site-packages: nothing to load before it becomes the command.
                *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *shlex.split(self.command)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone
                env=self._environment,
                cwd=CHECKOUT,
            )
        except OSError as error:  # out of memory or of processes, perhaps temporarily
            self.log.write(f"It could not be started: {error}\n".encode())
            return os.EX_OSERR  # `reading` ends by itself: nothing holds the other side
        finally:
            os.close(write_end)
        self.pid, self.started_at = process.pid, time.time()
        self._on_change()
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        code = await process.wait()
        self.pid = None
        heartbeat_path(self._home, process.pid).unlink(missing_ok=True)
        self._on_change()
        # Children would hold its ports and its output.
        await asyncio.to_thread(orphans.kill_processes, self._home, self._process_mark)
        await reading
        return code

    async def _read_output(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
        )
        while chunk := await reader.read(65536):
            self.log.write(chunk)
        self.log.flush()
        transport.close()


def describe_exit_code(code: int) -> str:
    """Describe an exit code for a message."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
