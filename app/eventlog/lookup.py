"""Lookup of the request of a prediction, without scanning the log and without knowing the request's offset.

A prediction knows when its request was appended to the log, by the broker's clock (`total` is the time since then), and
its own record comes after it. The archive's files and Kafka's indices are searchable by time, so that little has to be
read. The request of a live session is all of its chunks.
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
"""The largest difference between the worker's and the broker's clock, and between the records of a batch."""
MAX_WAIT = timedelta(days=7)
"""The longest time between a request and its prediction; imported data with old times is found by it."""
MAX_RECORDS = 100_000
"""The largest number of records to read from Kafka, which is read only beyond the archive."""


@dataclass(frozen=True)
class RequestQuery:
    """The identity of a prediction's request, and the bounds of its log append time."""

    task: str
    source: str
    id: str
    since: datetime
    until: datetime

    @classmethod
    def from_prediction(cls, prediction: PredictionMade, source: str, time: datetime, logged: datetime) -> Self:
        """Return the query for a prediction's request.

        `source` is the request's, `time` the prediction's `ce_time`, and `logged` its log append time.
        """
        appended = min(time - timedelta(milliseconds=prediction.timings_ms.get("total", 0.0)), logged)
        since = max(appended, logged - MAX_WAIT) - CLOCK_TOLERANCE
        return cls(
            task=prediction.task, source=source, id=prediction.request_id, since=since, until=logged + CLOCK_TOLERANCE
        )


async def find_request(settings: Settings, query: RequestQuery) -> list[ConsumedRecord]:
    """Return the record of a request, or all chunks of a session in the order of the log; empty if they are gone.

    Raises `SetupError` for an unreadable archive, OSError for an unreachable storage, KafkaError without a broker,
    `Rejected` if the blob of the payload is gone.
    """
    if requests := await _find(settings, query, _WholeRequest(query.source, query.id), query.since):
        return requests[:1]
    # A session's request is as old as its last chunk; the first one is older.
    since = query.since - timedelta(seconds=settings.session_seconds)
    return await _find(settings, query, _SessionChunks(query.source, query.id), since)


@dataclass(frozen=True)
class _WholeRequest:
    """Matches requests by identity."""

    source: str
    id: str

    def __call__(self, record: ConsumedRecord) -> bool:
        return event_identity(record.headers, record.origin) == (self.source, self.id)

    @property
    def expression(self) -> ds.Expression:
        return (ds.field("source") == self.source) & (ds.field("id") == self.id)


@dataclass(frozen=True)
class _SessionChunks:
    """Matches the chunks of a session."""

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
    records: list[ConsumedRecord] = []
    if table is not None:
        records = await asyncio.to_thread(_find_archived, settings, table, query, matcher.expression, since)
    if not records or isinstance(matcher, _SessionChunks):  # chunks may be in both
        records += await _find_unarchived(settings, table, query, matcher, since)
    return sorted(
        records, key=lambda record: (record.origin.timestamp_ms, record.origin.partition, record.origin.offset)
    )


def _find_archived(
    settings: Settings, table: DeltaTable, query: RequestQuery, expression: ds.Expression, since: datetime
) -> list[ConsumedRecord]:
    topic, blobs = topics.requests(query.task), blob_store(settings)
    with Archive(settings).diagnose_errors(topic):
        dataset = table.to_pyarrow_dataset(schema=SCHEMA)
        # First find the times only: reading `data` loads whole row groups, so read it from few files.
        matches = dataset.to_table(["logged"], filter=expression & _logged_between(since, query.until))
        times = matches.column("logged").to_pylist()
        rows = (
            dataset.to_table(filter=expression & _logged_between(min(times), max(times))).to_pylist() if times else []
        )
    return [record_from_row(row, blobs, settings.max_blob_bytes) for row in rows]


def _logged_between(since: datetime, until: datetime) -> ds.Expression:
    """Return the filter by log time, and by day for the partitions of the table."""
    time_type, time, day = SCHEMA.field("logged").type, ds.field("logged"), ds.field("day")
    in_range = (time >= pa.scalar(since, time_type)) & (time <= pa.scalar(until, time_type))
    return in_range & (day >= pa.scalar(since.date())) & (day <= pa.scalar(until.date()))


async def _find_unarchived(
    settings: Settings, table: DeltaTable | None, query: RequestQuery, matcher: _RequestMatcher, since: datetime
) -> list[ConsumedRecord]:
    offset_ranges = await reader.fetch_offset_ranges(settings, [topics.requests(query.task)])
    time_ranges = await reader.fetch_offsets_between(settings, list(offset_ranges), since, query.until)
    ranges = {
        tp: (max(start, last_archived_offset(table, offset_ranges[tp].topic_id, tp.partition) + 1), end)
        for tp, (start, end) in time_ranges.items()
    }
    matches, count = list[ConsumedRecord](), 0
    async for records in reader.read_ranges(
        settings, ranges, {tp.topic: offset_range.topic_id for tp, offset_range in offset_ranges.items()}
    ):
        matches += filter(matcher, records)
        count += len(records)
        if count > MAX_RECORDS or (matches and isinstance(matcher, _WholeRequest)):
            break
    return matches
