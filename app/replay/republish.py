"""Republishing of history: past requests are published to a topic, in their order and at their pace.

Each record is marked `ce_replay`, and so are all records that Hindsight derives from it: they are not counted, judged
or learned from.
"""

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from aiokafka import AIOKafkaProducer

from app.errors import SetupError
from app.events.cloudevents import Record
from app.kafka import clients
from app.kafka.producers import open_producer, publish_confirmed
from app.replay.duckdb_views import stream_batches
from app.replay.query import ReplayQuery
from app.replay.selection import ReplayProgress, open_selection
from app.settings import Settings
from app.storage.blob_store import blob_store

_BATCH_SIZE = 500
_LINGER_SECONDS = 0.05
"""Before waiting longer than this for the next record, publish the pending ones."""
_COUNT_REPUBLISHED = 'SELECT count(*), epoch_us(min("time")), epoch_us(max("time")) FROM republished'

_CREATE_REPUBLISHED = """
CREATE TABLE republished AS
SELECT r.epoch, r."partition", r."offset", r."time" FROM requests r WHERE r.disposition IS NULL AND ({where})
"""
_IN_ROWS = "(r.source, r.id) IN (SELECT (request_source, request_id) FROM rows)"
_SELECT_RECORDS = """
SELECT q."key", q.headers, q.data, q.data_uri, q.id, q.source, epoch_us(q."time") AS time_us
FROM republished JOIN log_requests q USING (epoch, "partition", "offset") ORDER BY q."time", q.id, q.source
"""


@dataclass(frozen=True)
class RepublishRate:
    """`speed` times the original pace, and at most `max_per_second` records per second."""

    speed: float = 1.0
    max_per_second: float = math.inf


@dataclass(frozen=True)
class RepublishPlan:
    """The number of requests to publish, and the duration in seconds."""

    requests: int
    duration_seconds: float


def republish(
    settings: Settings,
    arguments: ReplayQuery,
    topic: str,
    rate: RepublishRate,
    confirm: Callable[[RepublishPlan], bool],
    progress: ReplayProgress,
) -> int:
    """Publish the selected requests once `confirm` accepts the plan; return how many. All are confirmed by Kafka.

    With `where` these are the requests of the rows; without it all requests in the time range, answered or not. Raises
    `SetupError` if the topic does not exist; KafkaError without a broker.
    """
    asyncio.run(_check_topic(settings, topic))
    with TemporaryDirectory() as scratch, open_selection(settings, arguments, Path(scratch), progress) as connection:
        connection.execute(_CREATE_REPUBLISHED.format(where=_IN_ROWS if arguments.where else "TRUE"))
        [(count, first, last)] = connection.execute(_COUNT_REPUBLISHED).fetchall()
        if not count:
            return 0
        plan = RepublishPlan(count, max((last - first) / 1e6 / rate.speed, count / rate.max_per_second))
        if not confirm(plan):
            return 0
        return asyncio.run(_publish(settings, connection, topic, rate, lambda done: progress(topic, done, count)))


async def _check_topic(settings: Settings, topic: str) -> None:
    async with clients.open_admin(settings) as admin:
        if topic not in await admin.list_topics():
            raise SetupError(f"There is no topic {topic!r}.", "Create it first, with as many partitions as you need.")


async def _publish(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    topic: str,
    rate: RepublishRate,
    progress: Callable[[int], None],
) -> int:
    mark = str(uuid.uuid4()).encode()
    started, first_time, published = time.monotonic(), None, 0
    pending: list[Record] = []
    async with open_producer(settings) as producer:
        for row in _rows(connection, settings):
            first_time = row["time_us"] if first_time is None else first_time
            due_time = started + max(
                (row["time_us"] - first_time) / 1e6 / rate.speed, (published + len(pending)) / rate.max_per_second
            )
            if pending and (len(pending) == _BATCH_SIZE or due_time > time.monotonic() + _LINGER_SECONDS):
                published += await _publish_batch(producer, pending)
                progress(published)
                pending = []
            await asyncio.sleep(max(0.0, due_time - time.monotonic()))
            pending.append(Record(topic, row["key"], row["value"], _headers(row, mark)))
        published += await _publish_batch(producer, pending)
        progress(published)
    return published


async def _publish_batch(producer: AIOKafkaProducer, records: list[Record]) -> int:
    for error in await publish_confirmed(producer, records):
        if error is not None:
            raise error
    return len(records)


def _rows(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Iterator[dict[str, Any]]:
    blobs = blob_store(settings)
    for batch in stream_batches(connection, _SELECT_RECORDS, _BATCH_SIZE):
        for row in batch.to_pylist():
            value = row["data"] if row["data_uri"] is None else blobs.get(row["data_uri"], settings.max_blob_bytes)
            yield row | {"value": value}


def _headers(row: dict[str, Any], mark: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the original headers, with the event's own or filled-in identity and the replay mark."""
    identity = {"ce_id": row["id"].encode(), "ce_source": row["source"].encode(), "ce_replay": mark}
    others = [(header["name"], header["value"]) for header in row["headers"] if header["name"] not in identity]
    return (*others, *identity.items())
