"""One supervised process: started, listened to, and started again whenever it dies or somebody says so."""

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
HEALTHY_SECONDS = 30.0  # a process that has lived so long starts with the first delay again


class SupervisedProcess:
    """A line of the Procfile, kept running from `start` to `stop`."""

    def __init__(
        self, name: str, command: str, config: Settings, printer: ConsolePrinter, on_change: Callable[[], None]
    ) -> None:
        self.name = name
        self.command = command
        self.pid: int | None = None  # None while it is dead
        self.restarts = 0
        self.started_at: float | None = None  # Unix time of the last start
        self.restart_reason = ""  # why it was started again the last time
        self.restarted_at: float | None = None  # when that was
        self.log = ProcessLog(config.home / "logs" / f"{name}.log", printer)
        self._home = config.home
        self._process_mark = f"{os.getpid()}/{name}"
        self._environment = process_environment(config) | {orphans.PROCESS_VARIABLE: self._process_mark}
        self._printer = printer
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._requested_reason = ""  # why it is to be started again though it lives
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to keep it running."""
        self._task = asyncio.create_task(self._keep_running(), name=f"keep {self.name} running")

    async def stop(self, grace_seconds: float) -> None:
        """Asks it to end, kills it after the grace period, and leaves none of its children behind."""
        self._stopping.set()
        if self._task is None:
            self.log.close()
            return
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait([self._task], timeout=grace_seconds)
        if late:
            self._printer.print_lines(f"has not ended within {grace_seconds:g} s: killing it", "yellow")
            await asyncio.to_thread(orphans.kill_processes, self._home, self._process_mark)
        await self._task
        self._task = None
        self.log.close()

    async def restart(self, reason: str, *, graceful: bool = False) -> None:
        """End it with all that it has started, also where it hangs; it is started again. `graceful` asks it first."""
        pid = self.pid
        if pid is None:  # it is being started again
            return
        self._requested_reason = reason
        if graceful:
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while self.pid == pid and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
        if self.pid == pid:
            self._signal(signal.SIGKILL)  # what it has started is killed once it has ended

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _keep_running(self) -> None:
        delay = MIN_RESTART_DELAY_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                break
            asked, self._requested_reason = self._requested_reason, ""
            delay = MIN_RESTART_DELAY_SECONDS if asked or time.monotonic() - began > HEALTHY_SECONDS else delay
            self.restart_reason, self.restarted_at = asked or describe_exit_code(code), time.time()
            if asked:
                self._printer.print_lines(f"{asked}: it was ended; starting it again in {delay:g} s", "yellow")
            else:
                last = "".join(f"\n    {line}" for line in self.log.tail)
                self._printer.print_lines(
                    f"{describe_exit_code(code)}; starting it again in {delay:g} s. It said last:{last}", "red"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            if not self._stopping.is_set():
                self.restarts += 1
            delay = min(2 * delay, MAX_RESTART_DELAY_SECONDS)

    async def _run_once(self) -> int:
        """Starts it, writes down what it says until it ends, and kills what it leaves behind. Its exit code."""
        self.log.tail.clear()
        # A pipe of our own: asyncio's would not report its end while a child of it holds the other side.
        ours, its = os.pipe()
        listening = asyncio.create_task(self._read_output(ours))
        try:
            started = await asyncio.create_subprocess_exec(
                # Isolated and without site-packages: nothing to load before it becomes the command.
                *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *shlex.split(self.command)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its,
                stderr=its,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone
                env=self._environment,
                cwd=CHECKOUT,
            )
        except OSError as error:  # out of memory or of processes: it may pass
            self.log.write(f"It could not be started: {error}\n".encode())
            return os.EX_OSERR  # `listening` ends by itself: nobody holds the other side
        finally:
            os.close(its)
        self.pid, self.started_at = started.pid, time.time()
        self._on_change()
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        code = await started.wait()
        self.pid = None
        heartbeat_path(self._home, started.pid).unlink(missing_ok=True)
        self._on_change()
        await asyncio.to_thread(
            orphans.kill_processes, self._home, self._process_mark
        )  # or they would hold its ports, and its output
        await listening
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
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
