"""Watches what the supervisor runs: what lives but does not answer, or makes no progress, is started again.

Each process is asked every few seconds (`probes`), the consumer groups' progress as often. Nobody is blamed for what
another one holds up: a process is excused while one that it needs is away or has just come back. What says that it
waits for MLServer has MLServer started again; what waits for a storage or a database is left alone.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

import httpx

from app.embedded import probes, status
from app.embedded.process import Process
from app.embedded.restart_policy import Liveness, Patience, Stuck
from app.embedded.status import PlatformStatus, ProcessStatus, State
from app.monitoring.progress import PROCESS_OF, Progress
from app.monitoring.task_status import task_status
from app.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
PROGRESS_SECONDS = 5.0
REQUEST_SECONDS = 0.5
PARTLY = 5.0
"""So much more patience with a process that goes on for some of its topics."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "preprocess": ("kafka",),
    "mlserver": ("kafka",),
    "worker": ("kafka", "mlserver"),
    "archive": ("kafka",),
    "recorder": ("kafka",),
    "api": ("kafka",),
}


class Watchdog:
    """Of one supervisor."""

    def __init__(self, config: Settings, processes: Mapping[str, Process], pid: int) -> None:
        self._config = config
        self._processes = processes
        self._pid = pid
        self._http = httpx.AsyncClient(trust_env=False)
        self._probes = {name: probes.Probe(config, name, self._http) for name in processes}
        self._lives = {name: Liveness(Patience(config.stalled_seconds)) for name in processes}
        self._wholly = {name: Stuck(Patience(config.progress_seconds)) for name in PROCESS_OF.values()}
        self._partly = {name: Stuck(Patience(PARTLY * config.progress_seconds)) for name in PROCESS_OF.values()}
        self._progress = Progress(config)

    async def run(self) -> None:
        """Watch, until cancelled."""
        watching = [self._watch(process) for process in self._processes.values()]
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (*watching, self._follow_progress(), self._hear_requests(), self._report()):
                    group.create_task(loop)
        finally:
            await self._progress.close()
            await self._http.aclose()

    async def _watch(self, process: Process) -> None:
        life, probe = self._lives[process.name], self._probes[process.name]
        while True:
            pid, run = process.pid, process.since
            alive = pid is not None and await probe.alive(pid)
            excused = pid is None or not all(self._answers(need) for need in NEEDS.get(process.name, ()))
            if life.look(time.monotonic(), run, alive, excused) and pid is not None and process.since == run:
                what = "its main loop does not move" if process.name in probes.BEATING else "it does not answer"
                if not life.answered:
                    what = "it has not begun to answer"
                seconds = life.silent_seconds
                life.restarted()
                await process.restart(f"{what}, for {seconds:.0f} s")
            await asyncio.sleep(LOOK_SECONDS)

    def _answers(self, name: str) -> bool:
        """Whether a process answers; one that is not ours does, as far as we know."""
        if name not in self._processes:
            return True
        life = self._lives[name]
        silent = life.silent_seconds > self._config.stalled_seconds / 2
        return self._processes[name].pid is not None and life.answered and not silent

    def _settled(self, name: str) -> bool:
        """Whether it has answered for long enough to be blamed for what does not happen, or others for it."""
        if name not in self._processes:
            return True
        return self._answers(name) and self._lives[name].lived(time.monotonic()) > self._config.progress_seconds

    async def _follow_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            await self._progress.refresh()
            for group, name in PROCESS_OF.items():
                if name in self._processes:
                    await self._judge(group, name)

    async def _judge(self, group: str, name: str) -> None:
        standings = self._progress.standings
        waiting = {topic: one for (of, topic), one in standings.items() if of == group and one.place.waiting}
        still = [one.still_seconds for one in waiting.values()]
        waits = self._probes[name].waits
        blamed = "mlserver" if waits and name == "worker" else name
        left_alone = bool(self._progress.unknown) or (bool(waits) and blamed == name)
        excused = left_alone or not all(self._settled(one) for one in (name, *NEEDS[name]))
        now = time.monotonic()
        wholly = self._wholly[name].look(now, min(still, default=0.0), excused)
        partly = self._partly[name].look(now, max(still, default=0.0), excused or bool(waits))
        if not (wholly or partly) or blamed not in self._processes:
            return
        self._wholly[name].restarted(now)
        self._partly[name].restarted(now)
        held = ", ".join(f"{one.place.waiting:,} of {topic}" for topic, one in waiting.items())
        reason = f"no progress: {held} wait" if blamed == name else f"{name} waits for it: {waits}"
        await self._processes[blamed].restart(reason)

    async def _hear_requests(self) -> None:
        while True:
            for name in status.asked_restarts(self._config.home):
                if name in self._processes:
                    await self._processes[name].restart("asked for by `hindsight restart`", graceful=True)
            await asyncio.sleep(REQUEST_SECONDS)

    async def _report(self) -> None:
        while True:
            self.write()
            await asyncio.sleep(LOOK_SECONDS)

    def write(self) -> None:
        """Write down how things are."""
        try:
            status.write(self._config.home, self.status())
        except OSError as error:
            log.debug("the status can't be written: %s", error)

    def status(self) -> PlatformStatus:
        """How things are."""
        standings = self._progress.standings
        return PlatformStatus(
            self._pid,
            time.time(),
            [self._process(process) for process in self._processes.values()],
            [task_status(self._config, standings, one) for one in self._config.tasks] if standings else [],
            self._progress.unknown,
        )

    def _process(self, process: Process) -> ProcessStatus:
        life = self._lives[process.name]
        state: State = "running"
        if process.pid is None:
            state = "ended"
        elif not life.answered or process.since is None:
            state = "starting"
        elif life.silent_seconds > max(2 * LOOK_SECONDS, self._config.stalled_seconds / 3):
            state = "not answering"
        return ProcessStatus(
            process.name,
            state,
            process.pid,
            process.since,
            process.restarts,
            process.reason,
            process.restarted,
            self._probes[process.name].waits if process.pid else "",
        )
