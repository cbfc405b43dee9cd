"""A worker process: it loads one task and preprocesses one payload at a time.

`python -m app.preprocess.worker_main TASK FD [files]`, started by `worker_process.py`.
The messages that it receives, and its answers:

- `("request", topic_id, topic, partition, offset, timestamp_ms, key, value, headers, refusal)`:
  `("outputs", records, rejection, resident_bytes)`
- `("assemble", chunks)`: `("assembled", payload, resident_bytes)` or `("refused", code, reason, resident_bytes)`
- to both: `("failed", reason, resident_bytes)` for an error that is not the payload's

Before the first message it sends `("ready",)`. It sends `("fetching",)` before it waits for blob storage and
`("fetched",)` after: meanwhile the deadline of the payload is suspended.
"""

import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from app import tracing
from app.events import topics
from app.events.cloudevents import Headers, Origin, TopicId
from app.events.expiry import EXPIRY_EXTENSION, refuse_expired
from app.events.payload import max_claimed_bytes
from app.preprocess.claim_checks import reject_file_claims, retry_forever
from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel
from app.preprocess.preprocessor import STAGE, Preprocessor
from app.preprocess.sessions.assembler import assemble_chunks
from app.preprocess.tracing import TracedPreprocessor
from app.settings import MiB, Settings, settings
from app.storage.blob_store import blob_store
from app.tasks import load_task
from models.base import Rejected, Task

log = logging.getLogger("preprocess")

_GRACE_SECONDS = 10.0
"""A worker ends itself this long after the deadline of a payload, in case the pool no longer exists to kill it."""

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
            self._start_timer()
            try:
                answer = (
                    self._assemble(*message[1:]) if message[0] == "assemble" else self._preprocess_request(*message[1:])
                )
            except Exception as error:  # not the payload's fault: for example a blob store that refuses our keys
                log.exception("a message could not be handled")
                answer = ("failed", f"{type(error).__name__}: {error}")
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._channel.send((*answer, self._process.memory_info().rss))

    def _start_timer(self) -> None:
        # SIGALRM ends the process even while native code holds the GIL.
        signal.setitimer(signal.ITIMER_REAL, self._timeout_seconds)

    def _preprocess_request(
        self,
        topic_id: str,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
        refusal: tuple[str, str] | None,
    ) -> Message:
        origin = Origin(TopicId(topic_id), topic, partition, offset, timestamp_ms)
        refused = Rejected(*refusal) if refusal else self._refuse_expired(headers, timestamp_ms)
        result = self._preprocess(origin, key, value, headers, refused)
        records = tuple((record.topic, record.key, record.value, tuple(record.headers)) for record in result.records)
        rejection = result.rejection
        return "outputs", records, (rejection.code, str(rejection)) if rejection else None

    def _refuse_expired(self, headers: Headers, logged_ms: int) -> Rejected | None:
        extensions = {
            name.removeprefix("ce_"): value.decode(errors="replace")
            for name, value in headers
            if name in ("ce_session", f"ce_{EXPIRY_EXTENSION}")
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


def limit_resources(configured: Settings) -> None:
    """Bound this process's memory, and let the kernel's OOM killer choose it first."""
    limit = configured.preprocess_memory_mib * MiB
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("500")


def main() -> None:
    """Run the worker."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    configured = settings()
    name, file_descriptor, *files = sys.argv[1:]
    channel = MessageChannel(socket.socket(fileno=int(file_descriptor)))
    get = blob_store(configured).get
    task = load_task(configured, name)
    limit_resources(configured)
    with suppress(ChannelClosed):
        fetch = reject_file_claims(get) if files else retry_forever(get)
        WorkerLoop(configured, task, fetch, channel, takes_files=bool(files)).serve()
    sys.stdout.flush()
    os._exit(0)  # a thread of a task's library could keep the process alive


if __name__ == "__main__":
    main()
