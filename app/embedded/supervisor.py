"""The supervisor: it runs the processes of the Procfile, restarts those that end or hang, and stops all with itself."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from honcho.environ import parse_procfile
from rich.console import Console

from app.embedded import api_readiness, orphans, ports, probes, prometheus, resource_limits
from app.embedded import broker as kafka
from app.embedded.console import ConsolePrinter
from app.embedded.lock import HomeLock
from app.embedded.process import GRACE_SECONDS, SupervisedProcess
from app.embedded.watchdog import Watchdog
from app.errors import SetupError
from app.kafka import provisioning
from app.registry import shipped, weights
from app.settings import CHECKOUT, Settings
from app.storage.blob_store import blob_store
from app.system import disk, jars, java
from app.tasks import load_tasks

BROKER = probes.BROKER
JAR_PROCESSES = {BROKER, "preprocess"}
MODEL_SERVER = "mlserver"
BROKER_START_SECONDS = 120.0
BROKER_GRACE_SECONDS = 20.0
WATCHDOG_RETRY_SECONDS = 5.0

ProvisionTopics = Callable[[Settings], Awaitable[list[str]]]


class Supervisor:
    """Supervisor of the processes of one deployment, or of those in `only`."""

    def __init__(
        self,
        config: Settings,
        *,
        only: Collection[str] | None = None,
        procfile: Path = CHECKOUT / "Procfile",
        provision: ProvisionTopics | None = None,
        verbose: bool = False,
        console: Console | None = None,
    ) -> None:
        self.config = config.model_copy(update={"home": config.home.resolve()})
        self.processes: dict[str, SupervisedProcess] = {}
        self._provision = provision or provisioning.provision
        self._procfile = procfile
        self._only = only
        self._verbose = verbose
        self._console = console or Console(stderr=True, highlight=False)
        self._printer = ConsolePrinter("hindsight", 0, self._console)
        self._lock = HomeLock(self.config.home)
        self._orphan_guard: subprocess.Popen[bytes] | None = None
        self._started_at = time.monotonic()
        self._stop_task: asyncio.Task[None] | None = None
        self._watchdog_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Check the machine, start the broker, provision the topics, start the others. A failed start stops all."""
        self._started_at = time.monotonic()
        self._stop_task = None
        try:
            await self._prepare()
            await self._start_processes()
            self._watchdog_task = asyncio.create_task(self._run_watchdog(), name="watch the processes")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop every process, the broker last. Further calls wait for the same stop."""
        if self._stop_task is None:
            self._stop_task = asyncio.create_task(self._stop())
        await asyncio.shield(self._stop_task)

    async def wait_ready(self, seconds: float = 180.0) -> float:
        """Wait until the API reports that every part is ready. Return the seconds since the start."""
        await api_readiness.wait_until_ready(self.config, seconds)
        return time.monotonic() - self._started_at

    async def run_until_signal(self) -> None:
        """Start, announce when all is ready, and stop on SIGINT (Ctrl-C), SIGTERM or SIGHUP."""
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()

        def on_signal() -> None:
            self._print("Stopping, one moment." if not signalled.is_set() else "Still stopping.")
            signalled.set()

        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, on_signal)
        starting = asyncio.create_task(self._start_and_announce())
        waiting = asyncio.create_task(signalled.wait())
        try:
            await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()  # raises the error of a failed start
                await waiting
        finally:
            for task in (starting, waiting):
                task.cancel()
            await asyncio.gather(starting, waiting, return_exceptions=True)
            await self.stop()
            for number in signals:
                loop.remove_signal_handler(number)
                if signalled.is_set():  # the process ends now: another Ctrl-C must not interrupt that
                    signal.signal(number, signal.SIG_IGN)

    async def _start_and_announce(self) -> None:
        await self.start()
        if "api" not in self.processes:
            return
        try:
            seconds = await self.wait_ready()
        except SetupError as error:
            self._print(str(error), "yellow")
            seconds = await self.wait_ready(float("inf"))
        self._print(f"Ready in {seconds:.1f} s: {api_readiness.api_url(self.config)}", "green")

    async def _prepare(self) -> None:
        home = self.config.home
        disk.check_writable(home)
        resource_limits.restrict_permissions(home)
        resource_limits.raise_file_limit()
        if warning := disk.check_space(home):
            self._print(warning, "yellow")
        if note := self._lock.acquire():
            self._print(note, "yellow")
        if killed := await asyncio.to_thread(orphans.kill_processes, home):
            self._print(f"Killed the processes that it had left running: {killed}", "yellow")
        commands = self._commands()
        for name, reason in prometheus.unavailable_processes(self.config, commands).items():
            self._print(f"Without {name}: {reason}.")
            del commands[name]
        ports.check_ports(self.config, commands)
        probes.clear_heartbeats(home)
        await asyncio.to_thread(blob_store(self.config).prepare)
        if JAR_PROCESSES & commands.keys():
            java.java_binary()
            await asyncio.to_thread(jars.fetch_jars)
        if MODEL_SERVER in commands:
            await asyncio.to_thread(self._pull_weights)
        self._orphan_guard = orphans.start_guard(home)
        for index, (name, command) in enumerate(commands.items(), start=1):
            printer = ConsolePrinter(name, index, self._console, self._verbose)
            self.processes[name] = SupervisedProcess(name, command, self.config, printer, self._write_pids)

    def _pull_weights(self) -> None:
        for task in load_tasks(self.config).values():
            weights.pull(self.config, shipped.packaged_versions(self.config.cache, task))

    def _commands(self) -> dict[str, str]:
        lines = parse_procfile(self._procfile.read_text()).processes
        if self._only is not None and (unknown := set(self._only) - lines.keys()):
            raise SetupError(
                f"{self._procfile} does not define {', '.join(sorted(unknown))}.", f"Choose from: {', '.join(lines)}."
            )
        return {
            name: command
            for name, command in lines.items()
            if (self._only is None or name in self._only) and (name != BROKER or self.config.embedded_kafka)
        }

    async def _start_processes(self) -> None:
        others = [process for name, process in self.processes.items() if name != BROKER]
        if broker := self.processes.get(BROKER):
            self._print(f"Starting Kafka on {self.config.bootstrap}")
            broker.start()
        if not await kafka.wait(
            self.config, BROKER_START_SECONDS, kafka.is_ready_with_acls if broker else kafka.is_reachable
        ):
            raise self._broker_error(broker)
        for line in await self._provision(self.config):
            self._print(line, "yellow")
        if others:
            self._print(f"Starting {', '.join(process.name for process in others)}")
        for process in others:
            process.start()

    async def _run_watchdog(self) -> None:
        while True:
            try:
                await Watchdog(self.config, self.processes, os.getpid()).run()
            except Exception as error:  # a fault of the watchdog must not end the processes
                self._print(f"The watchdog failed and is restarted: {error!r}", "red")
                await asyncio.sleep(WATCHDOG_RETRY_SECONDS)

    def _broker_error(self, broker: SupervisedProcess | None) -> SetupError:
        message = f"No Kafka broker answers at {self.config.bootstrap} after {BROKER_START_SECONDS:.0f} s."
        if broker is None:
            return SetupError(message, "Check HINDSIGHT_KAFKA_BOOTSTRAP, and that this machine can reach the cluster.")
        tail = "".join(f"\n    {line}" for line in broker.log.tail)
        return SetupError(f"{message} Last output:{tail}", f"Read its log: {self.config.home}/logs/kafka.log.")

    async def _stop(self) -> None:
        if self._watchdog_task is not None:
            self._watchdog_task.cancel()
            await asyncio.gather(self._watchdog_task, return_exceptions=True)
            self._watchdog_task = None
            (self.config.home / "status.json").unlink(missing_ok=True)
        others = [process for name, process in self.processes.items() if name != BROKER]
        await asyncio.gather(*(process.stop(GRACE_SECONDS) for process in others))
        if broker := self.processes.get(BROKER):  # last: the others flush their records to it
            await broker.stop(BROKER_GRACE_SECONDS)
        if self._orphan_guard:  # it kills what is left, and ends
            await asyncio.to_thread(self._orphan_guard.communicate)
            self._orphan_guard = None
        if self.processes:
            self._print("Stopped.")
        self.processes = {}
        self._lock.release()

    def _write_pids(self) -> None:
        """Write {name: pid} of the running processes into HINDSIGHT_HOME/processes.json."""
        path = self.config.home / "processes.json"
        pids = {name: process.pid for name, process in self.processes.items() if process.pid is not None}
        try:
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(pids))
            temporary.replace(path)
        except OSError as error:
            self._print(f"{path} cannot be written: {error.strerror}", "yellow")

    def _print(self, text: str, style: str = "") -> None:
        self._printer.print_lines(text, style)
