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

from app.eventlog.archive import Archive, last_archived_offset
from app.eventlog.schema import SCHEMA
from app.eventlog.snapshot import record_from_row
from app.events import topics
from app.events.cloudevents import ConsumedRecord, event_identity, header_text
from app.events.types import PredictionMade
from app.kafka import reader
from app.settings import Settings
from app.storage.blob_store import blob_store

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far the worker's clock may be from the broker's, and a batch's request from what is said of it."""
MAX_WAIT = timedelta(days=7)
"""So long a request may have waited for its prediction; and what was imported with its old times is found by it."""
MAX_RECORDS = 100_000
"""So many records are read from Kafka at most: it is asked only for what is not archived yet."""


@dataclass(frozen=True)
class RequestQuery:
    """A request, as its prediction names it: its identity, and when it came into the log, from and up to."""

    task: str
    source: str
    id: str
    since: datetime
    until: datetime

    @classmethod
    def from_prediction(cls, prediction: PredictionMade, source: str, time: datetime, logged: datetime) -> Self:
        """The request of a prediction: the request's source, the prediction's `ce_time`, and when that was logged."""
        came = min(time - timedelta(milliseconds=prediction.timings_ms.get("total", 0.0)), logged)
        since = max(came, logged - MAX_WAIT) - CLOCK_TOLERANCE
        return cls(
            task=prediction.task, source=source, id=prediction.request_id, since=since, until=logged + CLOCK_TOLERANCE
        )


async def find_request(settings: Settings, query: RequestQuery) -> list[ConsumedRecord]:
    """The record of a request, or those of a session's chunks in the order of the log; none where they are gone.

    Raises `SetupError` for an archive that can't be read, OSError while the storage is away, KafkaError without a
    broker, `Rejected` where the blob of its payload is gone.
    """
    if whole := await _find(settings, query, _WholeRequest(query.source, query.id), query.since):
        return whole[:1]
    # A session's request came with its last chunk: the first is older.
    since = query.since - timedelta(seconds=settings.session_seconds)
    return await _find(settings, query, _SessionChunks(query.source, query.id), since)


@dataclass(frozen=True)
class _WholeRequest:
    """The requests of an identity."""

    source: str
    id: str

    def __call__(self, record: ConsumedRecord) -> bool:
        return event_identity(record.headers, record.origin) == (self.source, self.id)

    @property
    def expression(self) -> ds.Expression:
        return (ds.field("source") == self.source) & (ds.field("id") == self.id)


@dataclass(frozen=True)
class _SessionChunks:
    """The chunks of a session."""

    source: str
    session: str

    def __call__(self, record: ConsumedRecord) -> bool:
        source, _ = event_identity(record.headers, record.origin)
        return source == self.source and header_text(record.headers, "ce_session") == self.session

    @property
    def expression(self) -> ds.Expression:
        session = pc.map_lookup(ds.field("extensions"), pa.scalar("session"), "first")
        return (ds.field("source") == self.source) & (session == self.session)


_RequestMatcher = _WholeRequest | _SessionChunks


async def _find(
    settings: Settings, query: RequestQuery, matcher: _RequestMatcher, since: datetime
) -> list[ConsumedRecord]:
    table = await asyncio.to_thread(Archive(settings).table, topics.requests(query.task))
    found: list[ConsumedRecord] = []
    if table is not None:
        found = await asyncio.to_thread(_find_archived, settings, table, query, matcher.expression, since)
    if not found or isinstance(matcher, _SessionChunks):  # which may be in both
        found += await _find_unarchived(settings, table, query, matcher, since)
    return sorted(found, key=lambda one: (one.origin.timestamp_ms, one.origin.partition, one.origin.offset))


def _find_archived(
    settings: Settings, table: DeltaTable, query: RequestQuery, expression: ds.Expression, since: datetime
) -> list[ConsumedRecord]:
    topic, blobs = topics.requests(query.task), blob_store(settings)
    with Archive(settings).diagnose_errors(topic):
        dataset = table.to_pyarrow_dataset(schema=SCHEMA)
        # First only where they stand: of `data` a whole row group is read at once, and so of few files.
        found = dataset.to_table(["logged"], filter=expression & _logged_between(since, query.until))
        times = found.column("logged").to_pylist()
        rows = (
            dataset.to_table(filter=expression & _logged_between(min(times), max(times))).to_pylist() if times else []
        )
    return [record_from_row(row, blobs, settings.max_blob_bytes) for row in rows]


def _logged_between(since: datetime, until: datetime) -> ds.Expression:
    """By the day as well: it is the tables' partition."""
    kind, time, day = SCHEMA.field("logged").type, ds.field("logged"), ds.field("day")
    within = (time >= pa.scalar(since, kind)) & (time <= pa.scalar(until, kind))
    return within & (day >= pa.scalar(since.date())) & (day <= pa.scalar(until.date()))


async def _find_unarchived(
    settings: Settings, table: DeltaTable | None, query: RequestQuery, matcher: _RequestMatcher, since: datetime
) -> list[ConsumedRecord]:
    held = await reader.fetch_offset_ranges(settings, [topics.requests(query.task)])
    within = await reader.fetch_offsets_between(settings, list(held), since, query.until)
    ranges = {
        tp: (max(start, last_archived_offset(table, held[tp].topic_id, tp.partition) + 1), end)
        for tp, (start, end) in within.items()
    }
    found, count = list[ConsumedRecord](), 0
    async for records in reader.read_ranges(settings, ranges, {tp.topic: one.topic_id for tp, one in held.items()}):
        found += filter(matcher, records)
        count += len(records)
        if count > MAX_RECORDS or (found and isinstance(matcher, _WholeRequest)):
            break
    return found
