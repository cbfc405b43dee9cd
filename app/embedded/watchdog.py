"""The watchdog of the supervisor: it restarts processes that run but do not answer, or make no progress.

Each process is probed every few seconds (`probes`), and so is the progress of the consumer groups. A process is excused
while one of its dependencies is away or has just come back. If the worker reports that it waits for MLServer, MLServer
is restarted. A process that waits for a storage or a database is left alone.
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
"""The timeout is longer by this factor for a process that makes progress in some of its topics."""

DEPENDENCIES: Mapping[str, tuple[str, ...]] = {
    "preprocess": ("kafka",),
    "mlserver": ("kafka",),
    "worker": ("kafka", "mlserver"),
    "archive": ("kafka",),
    "recorder": ("kafka",),
    "api": ("kafka",),
}


class Watchdog:
    """Watchdog of one supervisor's processes."""

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
        """Watch the processes until cancelled."""
        loops = [self._watch_process(process) for process in self._processes.values()]
        loops += [self._watch_progress(), self._handle_restart_requests(), self._write_status_forever()]
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(loop)
        finally:
            await self._progress.close()
            await self._http.aclose()

    async def _watch_process(self, process: SupervisedProcess) -> None:
        liveness, probe = self._liveness[process.name], self._probes[process.name]
        dependencies = DEPENDENCIES.get(process.name, ())
        while True:
            pid, run = process.pid, process.started_at
            alive = pid is not None and await probe.is_alive(pid)
            excused = pid is None or not all(self._is_answering(dependency) for dependency in dependencies)
            overdue = liveness.should_restart(time.monotonic(), run, alive, excused)
            if overdue and pid is not None and process.started_at == run:
                reason = f"{self._describe_silence(process.name)}, for {liveness.silent_seconds:.0f} s"
                liveness.record_restart()
                await process.restart(reason)
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    def _describe_silence(self, name: str) -> str:
        if not self._liveness[name].answered:
            return "it has not begun to answer"
        return "its main loop does not move" if name in probes.HEARTBEAT_PROCESSES else "it does not answer"

    def _is_answering(self, name: str) -> bool:
        """Return whether a process answers. A process outside this supervisor is assumed to answer."""
        if name not in self._processes:
            return True
        liveness = self._liveness[name]
        silent = liveness.silent_seconds > self._config.liveness_timeout_seconds / 2
        return self._processes[name].pid is not None and liveness.answered and not silent

    def _is_settled(self, name: str) -> bool:
        """Return whether a process has answered for so long that missing progress is not due to its start."""
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
        positions = {
            topic: progress
            for (owner, topic), progress in self._progress.group_progress.items()
            if owner == group and progress.position.waiting
        }
        stalls = [progress.stalled_seconds for progress in positions.values()]
        waiting_for = self._probes[name].waiting_for
        culprit = "mlserver" if waiting_for and name == "worker" else name
        left_alone = bool(self._progress.unknown_reason) or (bool(waiting_for) and culprit == name)
        excused = left_alone or not all(self._is_settled(process) for process in (name, *DEPENDENCIES[name]))
        now = time.monotonic()
        all_stalled = self._full_progress[name].should_restart(now, min(stalls, default=0.0), excused)
        some_stalled = self._partial_progress[name].should_restart(
            now, max(stalls, default=0.0), excused or bool(waiting_for)
        )
        if not (all_stalled or some_stalled) or culprit not in self._processes:
            return
        self._full_progress[name].record_restart(now)
        self._partial_progress[name].record_restart(now)
        counts = ", ".join(f"{progress.position.waiting:,} of {topic}" for topic, progress in positions.items())
        reason = f"no progress: {counts} wait" if culprit == name else f"{name} waits for it: {waiting_for}"
        await self._processes[culprit].restart(reason)

    async def _handle_restart_requests(self) -> None:
        while True:
            for name in status.take_restart_requests(self._config.home):
                if name in self._processes:
                    await self._processes[name].restart("requested by `hindsight restart`", graceful=True)
            await asyncio.sleep(REQUEST_POLL_SECONDS)

    async def _write_status_forever(self) -> None:
        while True:
            self.write_status()
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    def write_status(self) -> None:
        """Write the status into its file."""
        try:
            status.write_status(self._config.home, self.status())
        except OSError as error:
            log.debug("the status cannot be written: %s", error)

    def status(self) -> PlatformStatus:
        """Return the status of the processes and the tasks."""
        progress = self._progress.group_progress
        return PlatformStatus(
            self._pid,
            time.time(),
            [self._process_status(process) for process in self._processes.values()],
            [task_status(self._config, progress, task) for task in self._config.tasks] if progress else [],
            self._progress.unknown_reason,
        )

    def _process_status(self, process: SupervisedProcess) -> ProcessStatus:
        liveness = self._liveness[process.name]
        state: ProcessState = "running"
        if process.pid is None:
            state = "ended"
        elif not liveness.answered or process.started_at is None:
            state = "starting"
        elif liveness.silent_seconds > max(2 * CHECK_INTERVAL_SECONDS, self._config.liveness_timeout_seconds / 3):
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
