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
from app.embedded.process import SupervisedProcess
from app.embedded.restart_policy import BackoffTimeout, LivenessPolicy, ProgressPolicy
from app.embedded.status import PlatformStatus, ProcessState, ProcessStatus
from app.monitoring.progress import PROCESS_BY_GROUP, ProgressMonitor
from app.monitoring.task_status import task_status
from app.settings import Settings

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 2.0
PROGRESS_INTERVAL_SECONDS = 5.0
REQUEST_POLL_SECONDS = 0.5
PARTIAL_TIMEOUT_FACTOR = 5.0
"""So much more patience with a process that goes on for some of its topics."""

DEPENDENCIES: Mapping[str, tuple[str, ...]] = {
    "preprocess": ("kafka",),
    "mlserver": ("kafka",),
    "worker": ("kafka", "mlserver"),
    "archive": ("kafka",),
    "recorder": ("kafka",),
    "api": ("kafka",),
}


class Watchdog:
    """Of one supervisor."""

    def __init__(self, config: Settings, processes: Mapping[str, SupervisedProcess], pid: int) -> None:
        self._config = config
        self._processes = processes
        self._pid = pid
        self._http = httpx.AsyncClient(trust_env=False)
        self._probes = {name: probes.LivenessProbe(config, name, self._http) for name in processes}
        self._liveness = {name: LivenessPolicy(BackoffTimeout(config.liveness_timeout_seconds)) for name in processes}
        self._full_progress = {
            name: ProgressPolicy(BackoffTimeout(config.progress_timeout_seconds)) for name in PROCESS_BY_GROUP.values()
        }
        self._partial_progress = {
            name: ProgressPolicy(BackoffTimeout(PARTIAL_TIMEOUT_FACTOR * config.progress_timeout_seconds))
            for name in PROCESS_BY_GROUP.values()
        }
        self._progress = ProgressMonitor(config)

    async def run(self) -> None:
        """Watch, until cancelled."""
        watching = [self._watch_process(process) for process in self._processes.values()]
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (
                    *watching,
                    self._watch_progress(),
                    self._handle_restart_requests(),
                    self._write_status_forever(),
                ):
                    group.create_task(loop)
        finally:
            await self._progress.close()
            await self._http.aclose()

    async def _watch_process(self, process: SupervisedProcess) -> None:
        life, probe = self._liveness[process.name], self._probes[process.name]
        while True:
            pid, run = process.pid, process.started_at
            alive = pid is not None and await probe.is_alive(pid)
            excused = pid is None or not all(self._is_answering(need) for need in DEPENDENCIES.get(process.name, ()))
            if (
                life.should_restart(time.monotonic(), run, alive, excused)
                and pid is not None
                and process.started_at == run
            ):
                what = (
                    "its main loop does not move"
                    if process.name in probes.HEARTBEAT_PROCESSES
                    else "it does not answer"
                )
                if not life.answered:
                    what = "it has not begun to answer"
                seconds = life.silent_seconds
                life.record_restart()
                await process.restart(f"{what}, for {seconds:.0f} s")
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    def _is_answering(self, name: str) -> bool:
        """Whether a process answers; one that is not ours does, as far as we know."""
        if name not in self._processes:
            return True
        life = self._liveness[name]
        silent = life.silent_seconds > self._config.liveness_timeout_seconds / 2
        return self._processes[name].pid is not None and life.answered and not silent

    def _is_settled(self, name: str) -> bool:
        """Whether it has answered for long enough to be blamed for what does not happen, or others for it."""
        if name not in self._processes:
            return True
        return (
            self._is_answering(name)
            and self._liveness[name].answering_seconds(time.monotonic()) > self._config.progress_timeout_seconds
        )

    async def _watch_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)
            await self._progress.refresh()
            for group, name in PROCESS_BY_GROUP.items():
                if name in self._processes:
                    await self._restart_if_stuck(group, name)

    async def _restart_if_stuck(self, group: str, name: str) -> None:
        standings = self._progress.group_progress
        waiting = {topic: one for (of, topic), one in standings.items() if of == group and one.position.waiting}
        still = [one.stalled_seconds for one in waiting.values()]
        waits = self._probes[name].waiting_for
        blamed = "mlserver" if waits and name == "worker" else name
        left_alone = bool(self._progress.unknown_reason) or (bool(waits) and blamed == name)
        excused = left_alone or not all(self._is_settled(one) for one in (name, *DEPENDENCIES[name]))
        now = time.monotonic()
        wholly = self._full_progress[name].should_restart(now, min(still, default=0.0), excused)
        partly = self._partial_progress[name].should_restart(now, max(still, default=0.0), excused or bool(waits))
        if not (wholly or partly) or blamed not in self._processes:
            return
        self._full_progress[name].record_restart(now)
        self._partial_progress[name].record_restart(now)
        held = ", ".join(f"{one.position.waiting:,} of {topic}" for topic, one in waiting.items())
        reason = f"no progress: {held} wait" if blamed == name else f"{name} waits for it: {waits}"
        await self._processes[blamed].restart(reason)

    async def _handle_restart_requests(self) -> None:
        while True:
            for name in status.take_restart_requests(self._config.home):
                if name in self._processes:
                    await self._processes[name].restart("asked for by `hindsight restart`", graceful=True)
            await asyncio.sleep(REQUEST_POLL_SECONDS)

    async def _write_status_forever(self) -> None:
        while True:
            self.write_status()
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    def write_status(self) -> None:
        """Write down how things are."""
        try:
            status.write_status(self._config.home, self.status())
        except OSError as error:
            log.debug("the status can't be written: %s", error)

    def status(self) -> PlatformStatus:
        """How things are."""
        standings = self._progress.group_progress
        return PlatformStatus(
            self._pid,
            time.time(),
            [self._process_status(process) for process in self._processes.values()],
            [task_status(self._config, standings, one) for one in self._config.tasks] if standings else [],
            self._progress.unknown_reason,
        )

    def _process_status(self, process: SupervisedProcess) -> ProcessStatus:
        life = self._liveness[process.name]
        state: ProcessState = "running"
        if process.pid is None:
            state = "ended"
        elif not life.answered or process.started_at is None:
            state = "starting"
        elif life.silent_seconds > max(2 * CHECK_INTERVAL_SECONDS, self._config.liveness_timeout_seconds / 3):
            state = "not answering"
        return ProcessStatus(
            process.name,
            state,
            process.pid,
            process.started_at,
            process.restarts,
            process.restart_reason,
            process.restarted_at,
            self._probes[process.name].waiting_for if process.pid else "",
        )
