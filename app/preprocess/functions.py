"""The functions of the Flink jobs: records in, the records that answer them out.

They run in Flink's Java process. A task's code runs in worker processes instead: see `app.preprocess.isolation.pool`.
"""

import asyncio
import json
import logging
import marshal
import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import OutputTag, ProcessFunction, RuntimeContext
from pyflink.table.udf import FunctionContext, TableFunction

from app.events import topics
from app.events.cloudevents import Headers, Origin, TopicId
from app.kafka.topic_ids import TopicIdCache, fetch_topic_ids
from app.monitoring import metrics
from app.preprocess import job_metrics
from app.preprocess.files import build_request
from app.preprocess.flink_kafka import BYTES, encode_output
from app.preprocess.isolation import shared_pool
from app.preprocess.isolation.pool import WorkerPool
from app.preprocess.isolation.work_item import WorkItem
from app.preprocess.preprocessor import STAGE, PreprocessResult
from app.settings import Settings

DEFERRED = OutputTag("deferred", BYTES)
CHUNKS = OutputTag("chunks", BYTES)
"""Side outputs of `PreprocessFunction`: requests that take long, and chunks of live sessions, as they were read."""


class PreprocessFunction(ProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Turns a batch of requests into the records that answer them: features, or a dead letter and an answer."""

    def __init__(self, settings: Settings, task: str, serves_metrics: bool) -> None:
        self._settings = settings
        self._task = task
        self._serves_metrics = serves_metrics

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start the task's workers here, where the job runs: the plan contains none of them."""
        # Flink's log handler takes the messages of every library, and each costs a call into Java.
        logging.getLogger().setLevel(logging.WARNING)
        self._origins = OriginResolver(self._settings)
        metrics.init_counters(self._task, STAGE)
        metrics.REQUESTS.labels(self._task, "", "", "failed")
        if self._serves_metrics:
            job_metrics.serve_metrics(self._settings)
        self._pool = shared_pool.acquire(self._settings, self._task)

    def close(self) -> None:
        """Release the workers. After a transient fault Flink opens the function again."""
        shared_pool.release(self._task)

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes | tuple[OutputTag, bytes]]:
        """Yield the outputs of one batch. No content of a record raises."""
        items = []
        for record in marshal.loads(value):  # noqa: S302  # from our source, see `app.preprocess.flink_kafka`
            item = self._origins.to_item(record)
            if any(name == "ce_session" and data is not None for name, data in item.headers):
                yield CHUNKS, item.to_bytes()
            else:
                items.append(item)
        for item, result in zip(items, self._pool.run_batch(items), strict=True):
            if result is None:
                yield DEFERRED, item.to_bytes()
            else:
                yield from encode_outputs(self._task, result)


class OriginResolver:
    """Finds the origins of records, with the ids of their topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic_ids = TopicIdCache()

    def to_item(self, record: tuple[Any, ...]) -> WorkItem:
        """Return the item of a record that was just read: of a header that occurs more than once, the last one."""
        topic, partition, offset, timestamp_ms, key, value, headers = record
        topic_id = self._topic_ids.get(topic, partition, offset)
        if topic_id is None:
            topic_id = asyncio.run(fetch_topic_ids(self._settings, [topic]))[topic]
        self._topic_ids.put(topic, partition, offset, topic_id)
        origin = Origin(topic_id, topic, partition, offset, timestamp_ms)
        return WorkItem(origin, key, value, tuple(dict(headers).items()))


def encode_outputs(task: str, result: PreprocessResult) -> Iterator[bytes]:
    """Yield the records of a request's result for the sink, and count a rejection."""
    if result.rejection is not None:
        metrics.count_rejection(task, STAGE, result.rejection.code)
    yield from map(encode_output, result.records)


class _BoundedFunction(TableFunction):  # type: ignore[misc]  # pyflink has no types
    """Turns the payloads of a bounded job into rows (position, topic, key, value, headers as JSON)."""

    def __init__(self, settings: Settings, task: str) -> None:
        self._settings = settings
        self._task = task

    def open(self, context: FunctionContext) -> None:
        """Start the workers here, where the job runs."""
        self._pool = WorkerPool(self._settings, self._task, allow_files=True)

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _preprocess(
        self, log_name: str, position: int, time_ms: int, key: bytes | None, payload: bytes, headers: Headers
    ) -> Iterator[Row]:
        origin = Origin(TopicId(log_name), topics.requests(self._task), 0, position, time_ms)
        for record in self._pool.run_to_completion(WorkItem(origin, key, payload, headers)).records:
            texts = {name: text.decode() for name, text in record.headers}
            yield Row(position, record.topic, record.key, record.value, json.dumps(texts))


class PreprocessFileFunction(_BoundedFunction):
    """Preprocesses one payload of a batch."""

    def __init__(self, settings: Settings, task: str, batch: str, max_payload_bytes: int) -> None:
        super().__init__(settings, task)
        self._batch = batch
        self._max_payload_bytes = max_payload_bytes

    def eval(self, position: int, uri: str) -> Iterator[Row]:
        """Yield the rows of one payload."""
        value, headers = build_request(uri, self._batch, self._max_payload_bytes)
        yield from self._preprocess(self._batch, position, round(time.time() * 1000), uri.encode(), value, headers)


class PreprocessArchivedFunction(_BoundedFunction):
    """Preprocesses one request of the archive."""

    def eval(self, position: int, value: bytes, headers: str) -> Iterator[Row]:
        """Yield the rows of one request, whose headers have its id and source."""
        encoded_headers = tuple((name, text.encode()) for name, text in json.loads(headers).items())
        yield from self._preprocess("archive", position, 0, None, value, encoded_headers)
