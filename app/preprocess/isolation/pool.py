"""A task's worker processes: what preprocessing hangs on, or dies of, is one payload's and costs no other.

How a payload goes:

1. `run` hands it to an idle worker and waits for `PATIENCE_SECONDS`. Nearly every payload is answered by then.
2. One that is not is deferred: its worker goes on with it, the caller puts the record aside (Flink's state has it, see
   `app.preprocess.deferral`) and takes the next one, which another worker does. `poll` asks for it again.
3. A worker that dies, or exceeds the deadline, is killed and the payload tried once more in a new one. After that it is
   refused: `kills_process` or `preprocess_timeout`. It is dead-lettered and answered as any other that can't be read.

The watchdog is here, in another process than the payload: no lock that the payload's code holds can stop it. At most
`MOST_DEFERRED` payloads are deferred at once; `run` waits for a further one as long as it takes.
"""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.events.cloudevents import Headers, Origin, Record
from app.monitoring import metrics
from app.preprocess.isolation.channel import Message
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
"""A worker beyond the first that nobody needed for so long ends: its memory is given back."""
ABANDONED_SECONDS = 30.0
"""What is deferred is asked for several times a second; for what is not, nobody waits."""


@dataclass(frozen=True)
class WorkItem:
    """One record of a requests topic."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def position(self) -> str:
        """Where it stands in the log: its identity."""
        return self.origin.position

    def message(self, refusal: Rejected | None) -> Message:
        """What a worker is handed; with a `refusal` it makes the answer to a request that it must not read."""
        o = self.origin
        refused = None if refusal is None else (refusal.code, str(refusal))
        where = (o.topic_id, o.topic, o.partition, o.offset, o.timestamp_ms)
        return ("request", *where, self.key, self.value, self.headers, refused)


@dataclass
class _InFlight:
    """A message and the worker that has it."""

    name: str
    work: WorkItem | tuple[bytes, ...]
    worker: WorkerProcess
    attempt: int = 1
    refusal: Rejected | None = None
    last_polled: float = field(default_factory=time.monotonic)


class WorkerPool:
    """The workers of one task. Its methods may be called from several threads."""

    def __init__(self, settings: Settings, task: str, *, allow_files: bool = False) -> None:
        self._task = task
        self._deadline = settings.preprocess_deadline_seconds
        self._max_resident_bytes = settings.preprocess_memory_mib * MiB // 2
        line = [sys.executable, "-m", "app.preprocess.worker_main", task]
        self._command = WorkerCommand(line, setting_variables(settings), ["files"] if allow_files else [])
        self._lock = threading.Lock()
        self._deferred: dict[str, _InFlight] = {}
        self._idle = [self._start_worker()]

    def run(self, job: WorkItem) -> PreprocessResult | None:
        """Preprocess a record; None if it takes longer, then `poll` has its answer."""
        flight = self._dispatch(job)
        answer = self._wait(flight, DEFER_AFTER_SECONDS)
        if answer is None:
            if self._defer(flight):
                return None
            answer = self._wait_for_answer(flight)
        return _to_result(answer)

    def poll(self, job: WorkItem) -> PreprocessResult | None:
        """Return the outputs of a record that was deferred, by this pool or by one before it; None while it waits."""
        with self._lock:
            flight = self._deferred.get(job.position)
            full = len(self._deferred) >= MAX_DEFERRED
        if flight is None:
            if not full and not self._defer(begun := self._dispatch(job)):
                begun.worker.kill()  # `run` was quicker: this one is begun again later
            return None
        answer = self._wait(flight, 0.0)
        if answer is None:
            return None
        with self._lock:
            self._deferred.pop(job.position, None)
        return _to_result(answer)

    def run_to_completion(self, job: WorkItem) -> PreprocessResult:
        """Preprocess a record, however long it takes."""
        return _to_result(self._wait_for_answer(self._dispatch(job)))

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Return the payload that a session's chunks make. Raises `Rejected`."""
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

    def _dispatch(self, job: WorkItem) -> _InFlight:
        flight = _InFlight(job.position, job, self._take_worker())
        flight.worker.submit(job.message(None))
        return flight

    def _defer(self, flight: _InFlight) -> bool:
        """Put a flight aside, and start a worker for the next payload; False where too many are aside."""
        now = time.monotonic()
        with self._lock:
            # Whoever would ask for these is gone: the job was restored elsewhere.
            lost = [name for name, other in self._deferred.items() if now - other.last_polled > ABANDONED_SECONDS]
            lost_workers = [self._deferred.pop(name).worker for name in lost]
            deferred = len(self._deferred) < MAX_DEFERRED
            if deferred:
                self._deferred[flight.name] = flight
                if not self._idle:
                    self._idle.append(self._start_worker())
        for worker in lost_workers:
            worker.kill()
        return deferred

    def _wait_for_answer(self, flight: _InFlight) -> Message:
        while True:
            answer = self._wait(flight, self._deadline)
            if answer is not None:
                return answer

    def _wait(self, flight: _InFlight, seconds: float) -> Message | None:
        """Return the answer of a flight; None if there is none in time. Try what failed once more, then refuse it."""
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
        """Kill the flight's worker, and hand its message to a new one: once more, or refused."""
        flight.worker.kill()
        metrics.WORKERS_KILLED.labels(self._task, refusal.code).inc()
        log.warning("%s: %s was read for the %d. time: %s", self._task, flight.name, flight.attempt, refusal.code)
        if flight.refusal is not None:
            raise RuntimeError(f"{self._task}: a worker failed on an answer that reads no payload: {refusal}")
        if flight.attempt >= MAX_ATTEMPTS:
            flight.refusal = refusal
            if not isinstance(flight.work, WorkItem):
                raise refusal
        flight.attempt += 1
        flight.worker = self._take_worker()
        job = flight.work
        flight.worker.submit(job.message(flight.refusal) if isinstance(job, WorkItem) else ("assemble", job))

    def _take_worker(self) -> WorkerProcess:
        """Return an idle worker, or one that is starting."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start_worker()

    def _return_worker(self, worker: WorkerProcess, resident_bytes: int = 0) -> None:
        surplus = []
        with self._lock:
            if resident_bytes > self._max_resident_bytes:  # it leaks, or keeps what one payload needed
                surplus.append(worker)
            else:
                self._idle.append(worker)
            now = time.monotonic()
            while len(self._idle) > 1 and now - self._idle[0].idle_since > MAX_IDLE_SECONDS:
                surplus.append(self._idle.pop(0))
        for each in surplus:
            each.retire()

    def _start_worker(self) -> WorkerProcess:
        return WorkerProcess(self._command, self._deadline)


_shared_pools: dict[str, list[Any]] = {}
_shared_lock = threading.Lock()


def acquire(settings: Settings, task: str) -> WorkerPool:
    """Return the pool that all operators of a task share in this process; `release` it once for each."""
    with _shared_lock:
        entry = _shared_pools.setdefault(task, [None, 0])
        if entry[0] is None:
            entry[0] = WorkerPool(settings, task)
        entry[1] += 1
        pool: WorkerPool = entry[0]
        return pool


def release(task: str) -> None:
    """An operator needs the pool no more: the last one ends its workers."""
    with _shared_lock:
        entry = _shared_pools[task]
        entry[1] -= 1
        pool = _shared_pools.pop(task)[0] if entry[1] == 0 else None
    if pool is not None:
        pool.close()


def _to_result(answer: Message) -> PreprocessResult:
    _, records, rejected, _ = answer
    made = tuple(Record(topic, key, value, headers) for topic, key, value, headers in records)
    if rejected is None:
        return PreprocessResult(made)
    code, reason = rejected
    return PreprocessResult(made, Rejected(code, reason))
