"""One request of the log, found by the prediction that answers it: without a scan of the log, and without its place.

A prediction says when its request came into the log, by the broker's clock (`total` is the time from then to its own),
and its record came after it. The archive's files and Kafka's indices know times: so little has to be read. The request
of a live session is its chunks, put together.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from app.eventlog.archive import Archive, last_archived
from app.eventlog.schema import SCHEMA
from app.eventlog.snapshot import incoming
from app.events import topics
from app.events.cloudevents import Incoming, header, identity
from app.events.types import PredictionMade
from app.kafka import reader
from app.settings import Settings
from app.storage.blob_store import blob_store

SLACK = timedelta(seconds=5)
"""How far the worker's clock may be from the broker's, and a batch's request from what is said of it."""
MOST_WAITED = timedelta(days=7)
"""So long a request may have waited for its prediction; and what was imported with its old times is found by it."""
MOST_RECORDS = 100_000
"""So many records are read from Kafka at most: it is asked only for what is not archived yet."""


@dataclass(frozen=True)
class Asked:
    """A request, as its prediction names it: its identity, and when it came into the log, from and up to."""

    task: str
    source: str
    id: str
    since: datetime
    until: datetime

    @classmethod
    def by(cls, made: PredictionMade, source: str, time: datetime, logged: datetime) -> Self:
        """The request of a prediction: the request's source, the prediction's `ce_time`, and when that was logged."""
        came = min(time - timedelta(milliseconds=made.timings_ms.get("total", 0.0)), logged)
        since = max(came, logged - MOST_WAITED) - SLACK
        return cls(task=made.task, source=source, id=made.request_id, since=since, until=logged + SLACK)


async def request(settings: Settings, asked: Asked) -> list[Incoming]:
    """The record of a request, or those of a session's chunks in the order of the log; none where they are gone.

    Raises `SetupError` for an archive that can't be read, OSError while the storage is away, KafkaError without a
    broker, `Rejected` where the blob of its payload is gone.
    """
    if whole := await _found(settings, asked, _Whole(asked.source, asked.id), asked.since):
        return whole[:1]
    # A session's request came with its last chunk: the first is older.
    since = asked.since - timedelta(seconds=settings.session_seconds)
    return await _found(settings, asked, _Chunks(asked.source, asked.id), since)


@dataclass(frozen=True)
class _Whole:
    """The requests of an identity."""

    source: str
    id: str

    def __call__(self, record: Incoming) -> bool:
        return identity(record.headers, record.origin) == (self.source, self.id)

    @property
    def rows(self) -> ds.Expression:
        return (ds.field("source") == self.source) & (ds.field("id") == self.id)


@dataclass(frozen=True)
class _Chunks:
    """The chunks of a session."""

    source: str
    session: str

    def __call__(self, record: Incoming) -> bool:
        source, _ = identity(record.headers, record.origin)
        return source == self.source and header(record.headers, "ce_session") == self.session

    @property
    def rows(self) -> ds.Expression:
        session = pc.map_lookup(ds.field("extensions"), pa.scalar("session"), "first")
        return (ds.field("source") == self.source) & (session == self.session)


_Wanted = _Whole | _Chunks


async def _found(settings: Settings, asked: Asked, wanted: _Wanted, since: datetime) -> list[Incoming]:
    table = await asyncio.to_thread(Archive(settings).table, topics.requests(asked.task))
    found: list[Incoming] = []
    if table is not None:
        found = await asyncio.to_thread(_archived, settings, table, asked, wanted.rows, since)
    if not found or isinstance(wanted, _Chunks):  # which may be in both
        found += await _unarchived(settings, table, asked, wanted, since)
    return sorted(found, key=lambda one: (one.origin.timestamp_ms, one.origin.partition, one.origin.offset))


def _archived(
    settings: Settings, table: DeltaTable, asked: Asked, wanted: ds.Expression, since: datetime
) -> list[Incoming]:
    topic, blobs = topics.requests(asked.task), blob_store(settings)
    with Archive(settings).readable(topic):
        dataset = table.to_pyarrow_dataset(schema=SCHEMA)
        # First only where they stand: of `data` a whole row group is read at once, and so of few files.
        found = dataset.to_table(["logged"], filter=wanted & _logged(since, asked.until))
        times = found.column("logged").to_pylist()
        rows = dataset.to_table(filter=wanted & _logged(min(times), max(times))).to_pylist() if times else []
    return [incoming(row, blobs, settings.max_blob_bytes) for row in rows]


def _logged(since: datetime, until: datetime) -> ds.Expression:
    """By the day as well: it is the tables' partition."""
    kind, time, day = SCHEMA.field("logged").type, ds.field("logged"), ds.field("day")
    within = (time >= pa.scalar(since, kind)) & (time <= pa.scalar(until, kind))
    return within & (day >= pa.scalar(since.date())) & (day <= pa.scalar(until.date()))


async def _unarchived(
    settings: Settings, table: DeltaTable | None, asked: Asked, wanted: _Wanted, since: datetime
) -> list[Incoming]:
    held = await reader.held(settings, [topics.requests(asked.task)])
    within = await reader.between(settings, list(held), since, asked.until)
    ranges = {
        tp: (max(start, last_archived(table, held[tp].epoch, tp.partition) + 1), end)
        for tp, (start, end) in within.items()
    }
    found, count = list[Incoming](), 0
    async for records in reader.read(settings, ranges, {tp.topic: one.epoch for tp, one in held.items()}):
        found += filter(wanted, records)
        count += len(records)
        if count > MOST_RECORDS or (found and isinstance(wanted, _Whole)):
            break
    return found
