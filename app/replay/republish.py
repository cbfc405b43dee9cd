"""History once more: requests of the past are published to a topic, as they were, in their order and at their pace.

Each is marked `ce_replay`, and so is all that Hindsight makes of it: whoever counts, judges or learns leaves it alone.
"""

import asyncio
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

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
"""An event that is due later than this lets those before it go first."""
_COUNT_REPUBLISHED = 'SELECT count(*), epoch_us(min("time")), epoch_us(max("time")) FROM republished'

_CREATE_REPUBLISHED = """
CREATE TABLE republished AS
SELECT r.epoch, r."partition", r."offset", r."time" FROM requests r WHERE r.fate IS NULL AND ({where})
"""
_IN_ROWS = "(r.source, r.id) IN (SELECT (request_source, request_id) FROM rows)"
_SELECT_RECORDS = """
SELECT q."key", q.headers, q.data, q.data_uri, q.id, q.source, epoch_us(q."time") AS moment
FROM republished c JOIN log_requests q USING (epoch, "partition", "offset") ORDER BY q."time", q.id, q.source
"""


@dataclass(frozen=True)
class RepublishRate:
    """`speed` times as fast as it was, and at most `rate` events a second."""

    speed: float = 1.0
    max_per_second: float = math.inf


@dataclass(frozen=True)
class RepublishPlan:
    """The requests to publish, and the seconds that publishing them takes."""

    requests: int
    duration_seconds: float


def republish(
    settings: Settings,
    arguments: ReplayQuery,
    topic: str,
    pace: RepublishRate,
    confirm: Callable[[RepublishPlan], bool],
    progress: ReplayProgress,
) -> int:
    """Publish the requests that `arguments` are about, if it is `agreed` to; how many. The last is confirmed on return.

    With `where`, these are the requests of the rows; without, all in the range of time, answered or not.
    Raises `SetupError` for a topic that isn't there; KafkaError without a broker.
    """
    asyncio.run(_check_topic(settings, topic))
    with TemporaryDirectory() as scratch, open_selection(settings, arguments, Path(scratch), progress) as connection:
        connection.execute(_CREATE_REPUBLISHED.format(where=_IN_ROWS if arguments.where else "TRUE"))
        [(count, first, last)] = connection.execute(_COUNT_REPUBLISHED).fetchall()
        if not count:
            return 0
        history = RepublishPlan(count, max((last - first) / 1e6 / pace.speed, count / pace.max_per_second))
        if not confirm(history):
            return 0
        return asyncio.run(_publish(settings, connection, topic, pace, lambda done: progress(topic, done, count)))


async def _check_topic(settings: Settings, topic: str) -> None:
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        if topic not in await admin.list_topics():
            raise SetupError(f"There is no topic {topic!r}.", "Make it first, with as many partitions as you need.")
    finally:
        await admin.close()


async def _publish(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    topic: str,
    pace: RepublishRate,
    progress: Callable[[int], None],
) -> int:
    mark = str(uuid.uuid4()).encode()
    began, first, done = time.monotonic(), None, 0
    waiting: list[Record] = []
    async with open_producer(settings) as send:
        for row in _rows(connection, settings):
            first = row["moment"] if first is None else first
            due = began + max((row["moment"] - first) / 1e6 / pace.speed, (done + len(waiting)) / pace.max_per_second)
            if waiting and (len(waiting) == _BATCH_SIZE or due > time.monotonic() + _LINGER_SECONDS):
                done += await _publish_batch(send, waiting)
                progress(done)
                waiting = []
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            waiting.append(Record(topic, row["key"], row["value"], _headers(row, mark)))
        done += await _publish_batch(send, waiting)
        progress(done)
    return done


async def _publish_batch(send: Callable[[Record], Awaitable[Awaitable[Any]]], records: list[Record]) -> int:
    for error in await publish_confirmed(send, records):
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
    """The original headers, with the identity that the event had or was given, and the mark."""
    own = {"ce_id": row["id"].encode(), "ce_source": row["source"].encode(), "ce_replay": mark}
    others = [(one["name"], one["value"]) for one in row["headers"] if one["name"] not in own]
    return (*others, *own.items())
