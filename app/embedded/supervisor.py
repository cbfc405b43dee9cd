"""Runs the Procfile: each process waits for what it needs, is restarted when it dies or hangs, and ends with us."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from honcho.environ import parse_procfile
from rich.console import Console

from app.embedded import broker as kafka
from app.embedded import orphans, ports, probes, prometheus, readiness, resource_limits
from app.embedded.console import Voice
from app.embedded.lock import HomeLock
from app.embedded.process import GRACE_SECONDS, Process
from app.embedded.watchdog import Watchdog
from app.errors import SetupError
from app.kafka import provisioning
from app.settings import CHECKOUT, Settings
from app.storage.blob_store import blob_store
from app.system import disk, jars, java

BROKER = probes.BROKER
NEEDS_JARS = {BROKER, "preprocess"}
BROKER_START_SECONDS = 120.0
BROKER_GRACE_SECONDS = 20.0
WATCH_AGAIN_SECONDS = 5.0

Provision = Callable[[Settings], Awaitable[list[str]]]


class Supervisor:
    """The processes of one deployment, or with `only` some of them."""

    def __init__(
        self,
        config: Settings,
        *,
        only: Collection[str] | None = None,
        procfile: Path = CHECKOUT / "Procfile",
        provision: Provision | None = None,
        verbose: bool = False,
        console: Console | None = None,
    ) -> None:
        self.config = config.model_copy(update={"home": config.home.resolve()})
        self.processes: dict[str, Process] = {}
        self._provision = provision or provisioning.provision
        self._procfile = procfile
        self._only = only
        self._verbose = verbose
        self._console = console or Console(stderr=True, highlight=False)
        self._voice = Voice("hindsight", 0, self._console)
        self._lock = HomeLock(self.config.home)
        self._guard: subprocess.Popen[bytes] | None = None
        self._began = time.monotonic()
        self._stopping: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Checks, then starts the broker, makes the topics, and starts the others. If that fails, nothing stays."""
        self._began = time.monotonic()
        self._stopping = None
        try:
            await self._prepare()
            await self._start_processes()
            self._watching = asyncio.create_task(self._watch(), name="watch the processes")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends every process, the broker last. Calling it again waits for the same end."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def wait_ready(self, seconds: float = 180.0) -> float:
        """Waits until the API says that every part is ready. The seconds since the start."""
        await readiness.wait(self.config, seconds)
        return time.monotonic() - self._began

    async def run_until_signal(self) -> None:
        """Starts, says when all is ready, and stops on SIGINT (Ctrl-C), SIGTERM or SIGHUP."""
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def on_signal() -> None:
            self._say("Stopping, one moment." if not asked.is_set() else "Still stopping.")
            asked.set()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, on_signal)
        work = asyncio.create_task(self._start_and_announce())
        stop = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # a failed start ends here
                await stop
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
            await self.stop()
            for number in numbers:
                loop.remove_signal_handler(number)
                if asked.is_set():  # this process ends now: one more Ctrl-C must not spoil that
                    signal.signal(number, signal.SIG_IGN)

    async def _start_and_announce(self) -> None:
        await self.start()
        if "api" not in self.processes:
            return
        try:
            seconds = await self.wait_ready()
        except SetupError as error:
            self._say(str(error), "yellow")  # it goes on trying
            seconds = await self.wait_ready(float("inf"))
        self._say(f"Ready in {seconds:.1f} s: {readiness.api_url(self.config)}", "green")

    async def _prepare(self) -> None:
        home = self.config.home
        disk.check_writable(home)
        resource_limits.keep_private(home)
        resource_limits.raise_files()
        if warning := disk.check_space(home):
            self._say(warning, "yellow")
        if note := self._lock.acquire():
            self._say(note, "yellow")
        if killed := await asyncio.to_thread(orphans.kill, home):
            self._say(f"Ended what it had left running: {killed}", "yellow")
        commands = self._commands()
        for name, reason in prometheus.absent(self.config, commands).items():
            self._say(f"Without {name}: {reason}.")
            del commands[name]
        ports.check(self.config, commands)
        probes.clear(home)
        await asyncio.to_thread(blob_store(self.config).prepare)
        if NEEDS_JARS & commands.keys():
            java.java()
            await asyncio.to_thread(jars.fetch)
        self._start_guard()
        for index, (name, command) in enumerate(commands.items(), start=1):
            voice = Voice(name, index, self._console, self._verbose)
            self.processes[name] = Process(name, command, self.config, voice, self._write_state)

    def _start_guard(self) -> None:
        """Starts what kills our processes, and theirs, should this one be killed itself: see leftovers.py."""
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "app.embedded.orphans", str(self.config.home), f"{os.getpid()}/*"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd=CHECKOUT,
        )

    def _commands(self) -> dict[str, str]:
        lines = parse_procfile(self._procfile.read_text()).processes
        if self._only is not None and (unknown := set(self._only) - lines.keys()):
            raise SetupError(f"{self._procfile} names no {', '.join(sorted(unknown))}.", f"It has: {', '.join(lines)}.")
        return {
            name: command
            for name, command in lines.items()
            if (self._only is None or name in self._only) and (name != BROKER or self.config.embedded_kafka)
        }

    async def _start_processes(self) -> None:
        others = [process for name, process in self.processes.items() if name != BROKER]
        if broker := self.processes.get(BROKER):
            self._say(f"Starting Kafka on {self.config.bootstrap}")
            broker.start()
        if not await kafka.wait(self.config, BROKER_START_SECONDS, kafka.granted if broker else kafka.answers):
            raise self._silent_broker(broker)
        for line in await self._provision(self.config):
            self._say(line, "yellow")
        if others:
            self._say(f"Starting {', '.join(process.name for process in others)}")
        for process in others:
            process.start()

    async def _watch(self) -> None:
        while True:
            try:
                await Watchdog(self.config, self.processes, os.getpid()).run()
            except Exception as error:  # a fault of its own: what it watches goes on
                self._say(f"The watch over the processes failed and begins anew: {error!r}", "red")
                await asyncio.sleep(WATCH_AGAIN_SECONDS)

    def _silent_broker(self, broker: Process | None) -> SetupError:
        message = f"No Kafka broker answers at {self.config.bootstrap} after {BROKER_START_SECONDS:.0f} s."
        if broker is None:
            return SetupError(message, "Check HINDSIGHT_KAFKA_BOOTSTRAP, and that this machine can reach the cluster.")
        said = "".join(f"\n    {line}" for line in broker.log.tail)
        return SetupError(f"{message} It said last:{said}", f"Its whole log is in {self.config.home}/logs/kafka.log.")

    async def _stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
            (self.config.home / "status.json").unlink(missing_ok=True)
        others = [process for name, process in self.processes.items() if name != BROKER]
        await asyncio.gather(*(process.stop(GRACE_SECONDS) for process in others))
        if broker := self.processes.get(BROKER):  # last: the others flush what they have to it
            await broker.stop(BROKER_GRACE_SECONDS)
        if self._guard:  # it looks once more for what is left, and ends
            await asyncio.to_thread(self._guard.communicate)
            self._guard = None
        if self.processes:
            self._say("Stopped.")
        self.processes = {}
        self._lock.release()

    def _write_state(self) -> None:
        """Writes {name: pid} of what is alive, for `hindsight doctor` and whoever wants to kill one of them."""
        path = self.config.home / "processes.json"
        alive = {name: process.pid for name, process in self.processes.items() if process.pid is not None}
        try:
            scratch = path.with_suffix(".tmp")
            scratch.write_text(json.dumps(alive))
            scratch.replace(path)
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}", "yellow")

    def _say(self, text: str, style: str = "") -> None:
        self._voice.say(text, style)
