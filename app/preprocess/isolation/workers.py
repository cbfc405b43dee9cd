"""The worker processes of one task that no payload waits for: idle ones, and those that end a batch too late."""

import sys
import threading
import time

from app.preprocess.isolation.worker_process import DeadlineExceeded, WorkerCommand, WorkerDied, WorkerProcess
from app.settings import MiB, Settings
from app.system.environment import setting_variables

MAX_IDLE_SECONDS = 60.0
"""A worker beyond the first ends after this idle time, to free its memory."""


class Workers:
    """Starts, lends and ends the workers of one task. Thread-safe."""

    def __init__(self, settings: Settings, task: str, *, allow_files: bool) -> None:
        self._deadline = settings.preprocess_deadline_seconds
        self._max_resident_bytes = settings.preprocess_memory_mib * MiB // 2
        arguments = [sys.executable, "-m", "app.preprocess.worker_main", task]
        self._command = WorkerCommand(arguments, setting_variables(settings), ["files"] if allow_files else [])
        self._lock = threading.Lock()
        self._late: list[WorkerProcess] = []
        self.idle = [self._start()]

    def take(self) -> WorkerProcess:
        """Return an idle worker, or one that is starting."""
        self._collect_late()
        with self._lock:
            if self.idle:
                return self.idle.pop()
        return self._start()

    def give_back(self, worker: WorkerProcess, resident_bytes: int) -> None:
        """Keep a worker that has answered for the next payload. End it, or others, if they hold too much memory."""
        surplus = []
        with self._lock:
            if resident_bytes > self._max_resident_bytes:  # it leaks, or keeps the memory of one large payload
                surplus.append(worker)
            else:
                self.idle.append(worker)
            now = time.monotonic()
            while len(self.idle) > 1 and now - self.idle[0].idle_since > MAX_IDLE_SECONDS:
                surplus.append(self.idle.pop(0))
        for surplus_worker in surplus:
            surplus_worker.retire()

    def give_up(self, worker: WorkerProcess) -> None:
        """Stop a worker that is late with a batch. It is idle again once it has answered."""
        worker.stop()
        with self._lock:
            self._late.append(worker)

    def prepare(self) -> None:
        """Start a worker if none is idle."""
        with self._lock:
            if not self.idle:
                self.idle.append(self._start())

    def close(self) -> None:
        """End these workers."""
        with self._lock:
            workers, self.idle, self._late = [*self.idle, *self._late], [], []
        for worker in workers:
            worker.kill()

    def _collect_late(self) -> None:
        """Take back the late workers that have answered. Kill those that exceed the deadline."""
        with self._lock:
            late, self._late = self._late, []
        for worker in late:
            try:
                answer = worker.wait(0.0)
            except (WorkerDied, DeadlineExceeded):
                worker.kill()
                continue
            if answer is None or answer[0] == "progress":
                with self._lock:
                    self._late.append(worker)
            else:
                self.give_back(worker, answer[-1])

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self._command, self._deadline)
