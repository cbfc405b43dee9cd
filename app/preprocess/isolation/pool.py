"""A task's worker processes. A payload that hangs or kills its process affects no other payload.

The path of a payload:

1. `run` hands it to an idle worker and waits for `DEFER_AFTER_SECONDS`. Nearly every payload is answered by then.
2. Otherwise it is deferred: its worker continues, the caller keeps the record (in Flink's state, see
   `app.preprocess.deferral`) and takes the next one, which another worker gets. `poll` asks for the answer later.
3. A worker that dies or exceeds the deadline is killed, and the payload is tried once more in a new worker. Then it is
   refused: `kills_process` or `preprocess_timeout`. It is dead-lettered and answered like any unreadable payload.

The watchdog runs here, not in the payload's process: no lock that the payload's code holds can stop it. At most
`MAX_DEFERRED` payloads are deferred at once; `run` waits for one more as long as it takes.
"""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.monitoring import metrics
from app.preprocess.isolation.channel import Message
from app.preprocess.isolation.work_item import WorkItem, to_result
from app.preprocess.isolation.worker_process import (
    DeadlineExceeded,
    WorkerCommand,
    WorkerDied,
    WorkerProcess,
    WorkerUnstartable,
)
from app.preprocess.preprocessor import PreprocessResult
from app.settings import MiB, Settings
from app.system.environment import setting_variables
from models.base import Rejected

log = logging.getLogger("preprocess")

DEFER_AFTER_SECONDS = 0.2
MAX_DEFERRED = 4
MAX_ATTEMPTS = 2
MAX_IDLE_SECONDS = 60.0
"""A worker beyond the first ends after this idle time, to free its memory."""
ABANDONED_SECONDS = 30.0
"""A deferred payload is polled several times a second. Nobody waits for one that was not polled for this long."""


@dataclass
class _InFlight:
    """A payload (a record, or the chunks of a session) and the worker that has it."""

    name: str
    payload: WorkItem | tuple[bytes, ...]
    worker: WorkerProcess
    attempt: int = 1
    refusal: Rejected | None = None
    last_polled: float = field(default_factory=time.monotonic)


class WorkerPool:
    """The workers of one task. Thread-safe."""

    def __init__(self, settings: Settings, task: str, *, allow_files: bool = False) -> None:
        self._task = task
        self._deadline = settings.preprocess_deadline_seconds
        self._max_resident_bytes = settings.preprocess_memory_mib * MiB // 2
        arguments = [sys.executable, "-m", "app.preprocess.worker_main", task]
        self._command = WorkerCommand(arguments, setting_variables(settings), ["files"] if allow_files else [])
        self._lock = threading.Lock()
        self._deferred: dict[str, _InFlight] = {}
        self._idle = [self._start_worker()]

    def run(self, item: WorkItem) -> PreprocessResult | None:
        """Preprocess a record. Return None if it is deferred: `poll` returns its result later."""
        flight = self._dispatch(item)
        answer = self._wait(flight, DEFER_AFTER_SECONDS)
        if answer is None:
            if self._defer(flight):
                return None
            answer = self._wait_for_answer(flight)
        return to_result(answer)

    def poll(self, item: WorkItem) -> PreprocessResult | None:
        """Return the result of a record that this pool, or an earlier one, deferred; None while it is not done."""
        with self._lock:
            flight = self._deferred.get(item.position)
            full = len(self._deferred) >= MAX_DEFERRED
        if flight is None:
            if not full and not self._defer(restarted := self._dispatch(item)):
                restarted.worker.kill()  # `run` took the last place: a later poll starts this record again
            return None
        answer = self._wait(flight, 0.0)
        if answer is None:
            return None
        with self._lock:
            self._deferred.pop(item.position, None)
        return to_result(answer)

    def run_to_completion(self, item: WorkItem) -> PreprocessResult:
        """Preprocess a record, however long it takes."""
        return to_result(self._wait_for_answer(self._dispatch(item)))

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Join a session's chunks into its payload. Raises `Rejected`."""
        flight = _InFlight("a session", tuple(chunks), self._take_worker())
        flight.worker.submit(("assemble", tuple(chunks)))
        answer = self._wait_for_answer(flight)
        if answer[0] == "refused":
            code, reason = answer[1:3]
            raise Rejected(code, reason)
        payload: bytes = answer[1]
        return payload

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            workers = [*self._idle, *(flight.worker for flight in self._deferred.values())]
            self._idle, self._deferred = [], {}
        for worker in workers:
            worker.kill()

    def _dispatch(self, item: WorkItem) -> _InFlight:
        flight = _InFlight(item.position, item, self._take_worker())
        flight.worker.submit(item.to_message(None))
        return flight

    def _defer(self, flight: _InFlight) -> bool:
        """Defer a flight and start a worker for the next payload. Return False if too many are deferred."""
        now = time.monotonic()
        with self._lock:
            # Nobody polls for these any more: the job was restored elsewhere.
            abandoned = [name for name, other in self._deferred.items() if now - other.last_polled > ABANDONED_SECONDS]
            abandoned_workers = [self._deferred.pop(name).worker for name in abandoned]
            deferred = len(self._deferred) < MAX_DEFERRED
            if deferred:
                self._deferred[flight.name] = flight
                if not self._idle:
                    self._idle.append(self._start_worker())
        for worker in abandoned_workers:
            worker.kill()
        return deferred

    def _wait_for_answer(self, flight: _InFlight) -> Message:
        while True:
            answer = self._wait(flight, self._deadline)
            if answer is not None:
                return answer

    def _wait(self, flight: _InFlight, seconds: float) -> Message | None:
        """Return the answer of a flight, None if there is none in time. Retry a failed payload once, then refuse it."""
        flight.last_polled = time.monotonic()
        while True:
            try:
                if seconds:
                    flight.worker.wait_ready()
                answer = flight.worker.wait(seconds)
            except DeadlineExceeded:
                reason = f"it took longer than {self._deadline:g} s, {MAX_ATTEMPTS} times"
                self._retry(flight, Rejected("preprocess_timeout", reason))
            except WorkerDied as error:
                reason = f"the process that read it died, {MAX_ATTEMPTS} times; the last time with {error}"
                self._retry(flight, Rejected("kills_process", reason))
            except WorkerUnstartable:
                flight.worker.kill()
                raise
            else:
                if answer is None:
                    return None
                self._return_worker(flight.worker, answer[-1])
                if answer[0] == "failed":
                    raise RuntimeError(f"{self._task}: {answer[1]}")
                return answer

    def _retry(self, flight: _InFlight, refusal: Rejected) -> None:
        """Kill the flight's worker and hand the payload to a new one: to be tried again, or to be refused."""
        flight.worker.kill()
        metrics.WORKERS_KILLED.labels(self._task, refusal.code).inc()
        log.warning("%s: attempt %d on %s failed: %s", self._task, flight.attempt, flight.name, refusal.code)
        if flight.refusal is not None:
            raise RuntimeError(f"{self._task}: a worker failed to build a refusal, which reads no payload: {refusal}")
        if flight.attempt >= MAX_ATTEMPTS:
            flight.refusal = refusal
            if not isinstance(flight.payload, WorkItem):
                raise refusal
        flight.attempt += 1
        flight.worker = self._take_worker()
        payload = flight.payload
        flight.worker.submit(
            payload.to_message(flight.refusal) if isinstance(payload, WorkItem) else ("assemble", payload)
        )

    def _take_worker(self) -> WorkerProcess:
        """Return an idle worker, or one that is starting."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start_worker()

    def _return_worker(self, worker: WorkerProcess, resident_bytes: int = 0) -> None:
        surplus = []
        with self._lock:
            if resident_bytes > self._max_resident_bytes:  # it leaks, or keeps the memory of one large payload
                surplus.append(worker)
            else:
                self._idle.append(worker)
            now = time.monotonic()
            while len(self._idle) > 1 and now - self._idle[0].idle_since > MAX_IDLE_SECONDS:
                surplus.append(self._idle.pop(0))
        for surplus_worker in surplus:
            surplus_worker.retire()

    def _start_worker(self) -> WorkerProcess:
        return WorkerProcess(self._command, self._deadline)
