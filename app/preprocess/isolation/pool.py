"""A task's worker processes. A payload that hangs or kills its process affects no other payload.

The path of a payload:

1. `run_batch` hands it, with others, to an idle worker. If the worker dies or gives no result for
   `DEFER_AFTER_SECONDS`, each payload that has no result yet is tried alone:
2. `run` hands it to an idle worker and waits for `DEFER_AFTER_SECONDS`. Nearly every payload is answered by then.
3. Otherwise it is deferred: its worker continues, the caller keeps the record (in Flink's state, see
   `app.preprocess.deferral`) and takes the next one, which another worker gets. `poll` asks for the answer later.
4. A worker that dies or exceeds the deadline is killed, and the payload is tried once more in a new worker. Then it is
   refused: `kills_process` or `preprocess_timeout`. It is dead-lettered and answered like any unreadable payload.

The watchdog runs here, not in the payload's process: no lock that the payload's code holds can stop it. At most
`MAX_DEFERRED` payloads are deferred at once; `run` waits for one more as long as it takes.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.monitoring import metrics
from app.preprocess.isolation.channel import Message
from app.preprocess.isolation.work_item import WorkItem, to_result
from app.preprocess.isolation.worker_process import DeadlineExceeded, WorkerDied, WorkerProcess, WorkerUnstartable
from app.preprocess.isolation.workers import Workers
from app.preprocess.preprocessor import PreprocessResult
from app.settings import Settings
from models.base import Rejected

log = logging.getLogger("preprocess")

DEFER_AFTER_SECONDS = 0.2
MAX_DEFERRED = 4
MAX_ATTEMPTS = 2
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
        self._lock = threading.Lock()
        self._deferred: dict[str, _InFlight] = {}
        self._workers = Workers(settings, task, allow_files=allow_files)

    def run(self, item: WorkItem) -> PreprocessResult | None:
        """Preprocess a record. Return None if it is deferred: `poll` returns its result later."""
        flight = self._dispatch(item)
        answer = self._wait(flight, DEFER_AFTER_SECONDS)
        if answer is None:
            if self._defer(flight):
                return None
            answer = self._wait_for_answer(flight)
        return _single_result(answer)

    def run_batch(self, items: Sequence[WorkItem]) -> Iterator[PreprocessResult | None]:
        """Yield the result of each record, in order; None if it is deferred: `poll` returns its result later."""
        answered = 0
        if len(items) > 1:
            for result in self._run_together(items):
                yield result
                answered += 1
        for item in items[answered:]:
            yield self.run(item)

    def _run_together(self, items: Sequence[WorkItem]) -> Iterator[PreprocessResult]:
        """Yield the results of the first records: of all, unless their worker dies or is late."""
        worker = self._workers.take()
        worker.submit(_requests_message(items))
        try:
            worker.wait_ready()
            while (answer := worker.wait(DEFER_AFTER_SECONDS)) is not None and answer[0] == "progress":
                yield from map(to_result, answer[1])
        except (WorkerDied, DeadlineExceeded) as error:
            log.warning("%s: a batch of %d failed and is tried one by one: %r", self._task, len(items), error)
            worker.kill()
        except BaseException:
            worker.kill()
            raise
        else:
            if answer is None:
                self._workers.give_up(worker)
                return
            self._workers.give_back(worker, answer[-1])
            if answer[0] == "outputs":
                yield from map(to_result, answer[1])

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
        return _single_result(answer)

    def run_to_completion(self, item: WorkItem) -> PreprocessResult:
        """Preprocess a record, however long it takes."""
        return _single_result(self._wait_for_answer(self._dispatch(item)))

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Join a session's chunks into its payload. Raises `Rejected`."""
        flight = _InFlight("a session", tuple(chunks), self._workers.take())
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
            deferred, self._deferred = self._deferred, {}
        for flight in deferred.values():
            flight.worker.kill()
        self._workers.close()

    def _dispatch(self, item: WorkItem) -> _InFlight:
        flight = _InFlight(item.position, item, self._workers.take())
        flight.worker.submit(_requests_message([item]))
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
        if deferred:
            self._workers.prepare()
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
                self._workers.give_back(flight.worker, answer[-1])
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
        flight.worker = self._workers.take()
        payload = flight.payload
        flight.worker.submit(
            _requests_message([payload], flight.refusal) if isinstance(payload, WorkItem) else ("assemble", payload)
        )


def _requests_message(items: Sequence[WorkItem], refusal: Rejected | None = None) -> Message:
    """Return the message to a worker. With a `refusal` the worker answers without reading the records."""
    refusal_fields = None if refusal is None else (refusal.code, str(refusal))
    return "requests", [item.to_fields() for item in items], refusal_fields


def _single_result(answer: Message) -> PreprocessResult:
    """Return the result in the answer to a request for one record."""
    [result] = answer[1]
    return to_result(result)
