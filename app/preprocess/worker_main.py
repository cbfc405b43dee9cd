"""A worker process: it loads one task and preprocesses one payload after the other.

`python -m app.preprocess.worker_main TASK FD [files]`, started by `worker_process.py`.
The messages that it receives, and its answers:

- `("requests", items, refusal)`: `("outputs", results, resident_bytes)`. While it takes long, `("progress", results)`
  before, with the results since the message before. `("stop",)` then ends it early.
- `("assemble", chunks)`: `("assembled", payload, resident_bytes)` or `("refused", code, reason, resident_bytes)`
- to both: `("failed", reason, resident_bytes)` for an error that is not the payload's

Before the first message it sends `("ready",)`. It sends `("fetching",)` before it waits for blob storage and
`("fetched",)` after: meanwhile the deadline of the payload is suspended.
"""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil

from app import tracing
from app.events import topics
from app.events.cloudevents import Headers
from app.events.expiry import EXPIRY_EXTENSION, refuse_expired
from app.events.payload import max_claimed_bytes
from app.preprocess.claim_checks import reject_file_claims, retry_forever
from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel
from app.preprocess.isolation.limits import limit_memory
from app.preprocess.isolation.work_item import WorkItem
from app.preprocess.preprocessor import STAGE, Preprocessor
from app.preprocess.sessions.assembler import assemble_chunks
from app.preprocess.tracing import TracedPreprocessor
from app.settings import Settings, settings
from app.storage.blob_store import blob_store
from app.tasks import load_task
from models.base import Rejected, Task

log = logging.getLogger("preprocess")

_GRACE_SECONDS = 10.0
"""A worker ends itself this long after the deadline of a payload, in case the pool no longer exists to kill it."""

_PROGRESS_SECONDS = 0.02
"""How long a result may wait for those behind it, far less than `pool.DEFER_AFTER_SECONDS`."""

BlobReader = Callable[[str, int], bytes]


class WorkerLoop:
    """Answers the messages of one pool."""

    def __init__(
        self, configured: Settings, task: Task, fetch: BlobReader, channel: MessageChannel, takes_files: bool
    ) -> None:
        self._task = task
        self._channel = channel
        self._timeout_seconds = configured.preprocess_deadline_seconds + _GRACE_SECONDS
        self._fetch = fetch
        self._process = psutil.Process()
        self._takes_files = takes_files
        self._max_wait_seconds = configured.for_task(task.name).max_wait_seconds
        preprocessor = Preprocessor(
            task,
            self._fetch_blob,
            topics.max_features_bytes(configured),
            max_claimed_bytes(configured, task),
            takes_files,
        )
        traces = tracing.get_tracing(configured, STAGE)
        self._preprocess = preprocessor if traces is None else TracedPreprocessor(preprocessor, traces)

    def serve(self) -> None:
        """Answer until the pool closes its end."""
        self._channel.send(("ready",))
        while True:
            message = self._channel.receive()
            assert message is not None
            if message[0] == "stop":  # it came after the last result
                continue
            self._start_timer()
            try:
                handle = self._assemble if message[0] == "assemble" else self._preprocess_requests
                answer = handle(*message[1:])
            except Exception as error:  # not the payload's fault: for example a blob store that refuses our keys
                log.exception("a message could not be handled")
                answer = ("failed", f"{type(error).__name__}: {error}")
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._channel.send((*answer, self._process.memory_info().rss))

    def _start_timer(self) -> None:
        # SIGALRM ends the process even while native code holds the GIL.
        signal.setitimer(signal.ITIMER_REAL, self._timeout_seconds)

    def _preprocess_requests(self, items: Sequence[Message], refusal: tuple[str, str] | None) -> Message:
        results: list[Message] = []
        sent = time.monotonic()
        for item in items:
            if time.monotonic() - sent > _PROGRESS_SECONDS:
                self._channel.send(("progress", results))
                if self._channel.receive(0.0) is not None:
                    return "outputs", []
                results, sent = [], time.monotonic()
                self._start_timer()
            results.append(self._preprocess_request(WorkItem.from_fields(item), refusal))
        return "outputs", results

    def _preprocess_request(self, item: WorkItem, refusal: tuple[str, str] | None) -> Message:
        refused = Rejected(*refusal) if refusal else self._refuse_expired(item.headers, item.origin.timestamp_ms)
        result = self._preprocess(item.origin, item.key, item.value, item.headers, refused)
        records = tuple((record.topic, record.key, record.value, tuple(record.headers)) for record in result.records)
        rejection = result.rejection
        return records, (rejection.code, str(rejection)) if rejection else None

    def _refuse_expired(self, headers: Headers, logged_ms: int) -> Rejected | None:
        extensions = {
            name.removeprefix("ce_"): value.decode(errors="replace")
            for name, value in headers
            if value is not None and name in ("ce_session", f"ce_{EXPIRY_EXTENSION}")
        }
        if "session" in extensions or self._takes_files:  # a session lasts as long as somebody speaks
            return None
        return refuse_expired(extensions, logged_ms, time.time() * 1000, self._max_wait_seconds)

    def _assemble(self, chunks: tuple[bytes, ...]) -> Message:
        try:
            return "assembled", assemble_chunks(self._task, chunks)
        except Rejected as error:
            return "refused", error.code, str(error)

    def _fetch_blob(self, uri: str, limit: int) -> bytes:
        self._channel.send(("fetching",))
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            return self._fetch(uri, limit)
        finally:
            self._start_timer()
            self._channel.send(("fetched",))


def main() -> None:
    """Run the worker."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    configured = settings()
    name, file_descriptor, *files = sys.argv[1:]
    channel = MessageChannel(socket.socket(fileno=int(file_descriptor)))
    get = blob_store(configured).get
    task = load_task(configured, name)
    limit_memory(configured.preprocess_memory_mib)
    with suppress(ChannelClosed):
        fetch = reject_file_claims(get) if files else retry_forever(get)
        WorkerLoop(configured, task, fetch, channel, takes_files=bool(files)).serve()
    sys.stdout.flush()
    os._exit(0)  # a thread of a task's library could keep the process alive


if __name__ == "__main__":
    main()
