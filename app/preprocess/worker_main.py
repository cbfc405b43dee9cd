"""A worker process: it loads one task and preprocesses the payloads that it is handed, one at a time.

`python -m app.preprocess.worker_main TASK FD [files]`, started by `worker_process.py`.
Messages in, and what answers each:

- `("request", epoch, topic, partition, offset, timestamp_ms, key, value, headers, refusal)`:
  `("outputs", records, rejected, resident_bytes)`
- `("assemble", chunks)`: `("assembled", payload, resident_bytes)` or `("refused", code, reason, resident_bytes)`
- either: `("failed", reason, resident_bytes)` where that is no fault of the payload

Before the first it says `("ready",)`. While it waits for blob storage it says `("fetching",)`, and then `("fetched",)`:
the deadline of a payload does not run meanwhile.
"""

import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from app import tracing
from app.events import topics
from app.events.cloudevents import Origin, TopicId
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
"""So long after its deadline a payload ends its worker, should nobody be there any more to do so."""

BlobReader = Callable[[str, int], bytes]


class WorkerLoop:
    """Answers the messages of one pool."""

    def __init__(self, configured: Settings, task: Task, fetch: BlobReader, channel: MessageChannel) -> None:
        self._task = task
        self._channel = channel
        self._timeout_seconds = configured.preprocess_deadline_seconds + _GRACE_SECONDS
        self._fetch = fetch
        self._process = psutil.Process()
        preprocessor = Preprocessor(task, self._fetch_blob, topics.max_features_bytes(configured))
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
            except Exception as error:  # no payload's fault: a blob store that refuses our keys, say
                log.exception("a message could not be handled")
                answer = ("failed", f"{type(error).__name__}: {error}")
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._channel.send((*answer, self._process.memory_info().rss))

    def _start_timer(self) -> None:
        # The kernel ends the process, whatever holds the interpreter's lock.
        signal.setitimer(signal.ITIMER_REAL, self._timeout_seconds)

    def _preprocess_request(
        self,
        epoch: str,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
        refusal: tuple[str, str] | None,
    ) -> Message:
        origin = Origin(TopicId(epoch), topic, partition, offset, timestamp_ms)
        refused = None
        if refusal is not None:
            code, reason = refusal
            refused = Rejected(code, reason)
        outputs = self._preprocess(origin, key, value, headers, refused)
        records = tuple((r.topic, r.key, r.value, tuple(r.headers)) for r in outputs.records)
        rejected = outputs.rejection
        return "outputs", records, (rejected.code, str(rejected)) if rejected else None

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
    """Bound what this process may take, and have the kernel choose it first where memory is short."""
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
    name, number, *files = sys.argv[1:]
    channel = MessageChannel(socket.socket(fileno=int(number)))
    get = blob_store(configured).get
    task = load_task(configured, name)
    limit_resources(configured)
    with suppress(ChannelClosed):
        WorkerLoop(configured, task, reject_file_claims(get) if files else retry_forever(get), channel).serve()
    sys.stdout.flush()
    os._exit(0)  # a thread of a task's library would keep a worker that nobody needs


if __name__ == "__main__":
    main()
