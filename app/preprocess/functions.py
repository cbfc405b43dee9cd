"""The table functions of the Flink jobs: one record in, the records that answer it out.

They run in Flink's Java process, and hold nothing of a task's code: that runs in worker processes, see
`app.preprocess.isolation.pool`.
"""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from pyflink.common import Row
from pyflink.table.udf import FunctionContext, TableFunction

from app.events import topics
from app.events.cloudevents import Headers, Origin, TopicId
from app.kafka.topic_ids import TopicIdCache, fetch_topic_ids
from app.monitoring import metrics
from app.preprocess import job_metrics
from app.preprocess.files import build_request
from app.preprocess.isolation import pool
from app.preprocess.isolation.pool import WorkerPool, WorkItem
from app.preprocess.preprocessor import STAGE, PreprocessResult
from app.settings import Settings


class PreprocessFunction(TableFunction):  # type: ignore[misc]  # pyflink has no types
    """Rows (topic, key, value, headers) of one request: its features, or a dead letter and an answer.

    A request that takes long makes a row without a topic: `app.preprocess.deferral.Deferred` answers it.
    """

    def __init__(self, settings: Settings, task: str, serves_metrics: bool) -> None:
        self._settings = settings
        self._task = task
        self._serves_metrics = serves_metrics

    def open(self, context: FunctionContext) -> None:
        """Start the task's workers where the job runs: nothing of them is shipped with the plan."""
        # Flink's handler takes every library's every word, and each costs a call into Java.
        logging.getLogger().setLevel(logging.WARNING)
        self._origins = OriginResolver(self._settings)
        metrics.init_counters(self._task, STAGE)
        metrics.REQUESTS.labels(self._task, "", "", "failed")
        if self._serves_metrics:
            job_metrics.serve_metrics(self._settings)
        self._pool = pool.acquire(self._settings, self._task)

    def close(self) -> None:
        """The instance ends in good order. Where it was for a fault that may pass, Flink opens it again."""
        pool.release(self._task)

    def eval(
        self,
        topic: str,
        partition: int,
        offset: int,
        logged: datetime,
        key: bytes | None,
        value: bytes | None,
        headers: dict[str, bytes] | None,
    ) -> Iterator[Row]:
        """The rows of one record. Never raises for what the record holds."""
        origin = self._origins.resolve(topic, partition, offset, logged)
        outputs = self._pool.run(WorkItem(origin, key, value, tuple((headers or {}).items())))
        if outputs is None:
            yield Row("", None, None, {})
        else:
            yield from to_rows(self._task, outputs)


class OriginResolver:
    """Where records stand, with the epoch of their topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic_ids = TopicIdCache()

    def resolve(self, topic: str, partition: int, offset: int, logged: datetime) -> Origin:
        """Return the origin of a record in hand; `logged` is in UTC."""
        epoch = self._topic_ids.get(topic, partition, offset)
        if epoch is None:
            epoch = asyncio.run(fetch_topic_ids(self._settings, [topic]))[topic]
        self._topic_ids.put(topic, partition, offset, epoch)
        return Origin(epoch, topic, partition, offset, round(logged.replace(tzinfo=UTC).timestamp() * 1000))


def to_rows(task: str, outputs: PreprocessResult) -> Iterator[Row]:
    """The rows of a request's outputs; a rejection is counted."""
    if outputs.rejection is not None:
        metrics.count_rejection(task, STAGE, outputs.rejection.code)
    for record in outputs.records:
        yield Row(record.topic, record.key, record.value, dict(record.headers))


class _BoundedFunction(TableFunction):  # type: ignore[misc]  # pyflink has no types
    """Rows (position, topic, key, value, headers as JSON) of the payloads of a bounded job."""

    def __init__(self, settings: Settings, task: str) -> None:
        self._settings = settings
        self._task = task

    def open(self, context: FunctionContext) -> None:
        """Start the workers where the job runs."""
        self._pool = WorkerPool(self._settings, self._task, allow_files=True)

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _preprocess(
        self, epoch: str, position: int, time_ms: int, key: bytes | None, payload: bytes, headers: Headers
    ) -> Iterator[Row]:
        origin = Origin(TopicId(epoch), topics.requests(self._task), 0, position, time_ms)
        for record in self._pool.run_to_completion(WorkItem(origin, key, payload, headers)).records:
            texts = {name: text.decode() for name, text in record.headers}
            yield Row(position, record.topic, record.key, record.value, json.dumps(texts))


class PreprocessFileFunction(_BoundedFunction):
    """The rows of one payload of a batch."""

    def __init__(self, settings: Settings, task: str, batch: str, max_payload_bytes: int) -> None:
        super().__init__(settings, task)
        self._batch = batch
        self._max_payload_bytes = max_payload_bytes

    def eval(self, position: int, uri: str) -> Iterator[Row]:
        """The rows of one payload."""
        value, headers = build_request(uri, self._batch, self._max_payload_bytes)
        yield from self._preprocess(self._batch, position, round(time.time() * 1000), uri.encode(), value, headers)


class PreprocessArchivedFunction(_BoundedFunction):
    """The rows of one request of the archive."""

    def eval(self, position: int, value: bytes, headers: str) -> Iterator[Row]:
        """The rows of one request, which has an id and a source."""
        said = tuple((name, text.encode()) for name, text in json.loads(headers).items())
        yield from self._preprocess("archive", position, 0, None, value, said)
