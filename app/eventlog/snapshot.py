"""Snapshots of topics: a version of the archive table, and the tail that only Kafka has."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from aiokafka import TopicPartition
from deltalake import DeltaTable

from app.errors import SetupError
from app.eventlog.archive import Archive, last_archived_offset
from app.eventlog.schema import SCHEMA, to_table
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.kafka import reader
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobStore

_BATCH_ROWS = 10_000
RECORD_COLUMNS = ["epoch", "topic", "partition", "offset", "logged", "key", "headers", "data", "data_uri"]
"""The columns that a record is made of; the others are taken from its headers."""


@dataclass(frozen=True)
class Snapshot:
    """A topic at one time. `end_offsets` has the end of each partition under its current topic id, exclusively."""

    topic: str
    table: DeltaTable | None
    tail_files: tuple[Path, ...]
    end_offsets: Mapping[int, int]

    def dataset(self) -> ds.Dataset:
        """Return all rows, with the columns of `app.eventlog.schema.SCHEMA`."""
        parts = [ds.dataset([str(path) for path in self.tail_files], schema=SCHEMA)]
        if self.table is not None:
            parts.append(self.table.to_pyarrow_dataset(schema=SCHEMA))
        return ds.dataset(parts)


async def take(settings: Settings, topics: Sequence[str], scratch: Path) -> dict[str, Snapshot]:
    """Take snapshots of the topics; write their tails below `scratch`. Raises KafkaError without a broker."""
    offset_ranges = await reader.fetch_offset_ranges(settings, list(topics))
    return {topic: await _take_topic(settings, topic, offset_ranges, scratch) for topic in topics}


async def _take_topic(
    settings: Settings, topic: str, all_ranges: Mapping[TopicPartition, reader.OffsetRange], scratch: Path
) -> Snapshot:
    offset_ranges = {tp: offset_range for tp, offset_range in all_ranges.items() if tp.topic == topic}
    archive = Archive(settings)
    # If archived records were deleted from Kafka meanwhile, a newer version of the archive has them.
    for _ in range(3):
        table = archive.table(topic)
        starts = {
            tp: last_archived_offset(table, offset_range.topic_id, tp.partition) + 1
            for tp, offset_range in offset_ranges.items()
        }
        missing = [
            (tp, starts[tp], offset_range.begin)
            for tp, offset_range in offset_ranges.items()
            if starts[tp] < offset_range.begin
        ]
        if not missing:
            break
    else:
        tp, start, begin = missing[0]
        raise SetupError(
            f"The events {start} to {begin - 1} of {topic}, partition {tp.partition}, are neither in Kafka nor in "
            f"{archive.uri(topic)}.",
            "Restore the archive's directory or HINDSIGHT_BLOB_URL if one of them was changed.",
        )
    ranges = {tp: (starts[tp], offset_range.end) for tp, offset_range in offset_ranges.items()}
    blobs = blob_store(settings)
    paths: list[Path] = []
    async for records in reader.read_ranges(
        settings, ranges, {tp.topic: offset_range.topic_id for tp, offset_range in offset_ranges.items()}
    ):
        path = scratch / f"{topic}-{len(paths):06}.parquet"
        pq.write_table(to_table(records, blobs.put), path)
        paths.append(path)
    return Snapshot(
        topic,
        table,
        tuple(paths),
        {tp.partition: max(starts[tp], offset_range.end) for tp, offset_range in offset_ranges.items()},
    )


async def read_records(settings: Settings, topic: str) -> AsyncIterator[Sequence[ConsumedRecord]]:
    """Yield all records of a topic, in batches."""
    blobs = blob_store(settings)
    with TemporaryDirectory() as scratch:
        snapshot = (await take(settings, [topic], Path(scratch)))[topic]
        for batch in snapshot.dataset().to_batches(columns=RECORD_COLUMNS, batch_size=_BATCH_ROWS):
            if batch.num_rows:
                yield records_from_batch(batch, blobs, settings.max_blob_bytes)


def records_from_batch(batch: pa.RecordBatch, blobs: BlobStore, limit: int) -> list[ConsumedRecord]:
    """Return the records of archive rows, as `record_from_row`."""
    columns = {name: batch.column(name) for name in RECORD_COLUMNS}
    headers = columns.pop("headers")
    pairs = list(zip(*(column.to_pylist() for column in headers.flatten().flatten()), strict=True))
    ends = np.cumsum(pc.list_value_length(headers).to_numpy()).tolist()
    logged_ms = (columns.pop("logged").cast(pa.int64()).to_numpy() // 1000).tolist()
    rows = zip(*(column.to_pylist() for column in columns.values()), logged_ms, [0, *ends[:-1]], ends, strict=True)
    return [
        ConsumedRecord(
            Origin(TopicId(epoch), topic, partition, offset, timestamp_ms),
            key,
            data if uri is None else blobs.get(uri, limit),
            tuple(pairs[start:end]),
        )
        for epoch, topic, partition, offset, key, data, uri, timestamp_ms, start, end in rows
    ]


def record_from_row(row: Mapping[str, Any], blobs: BlobStore, limit: int) -> ConsumedRecord:
    """Return the record of an archive row. Raises `Rejected` if the blob of its claim check is missing."""
    timestamp_ms = round(row["logged"].timestamp() * 1000)
    origin = Origin(TopicId(row["epoch"]), row["topic"], row["partition"], row["offset"], timestamp_ms)
    value = row["data"] if row["data_uri"] is None else blobs.get(row["data_uri"], limit)
    return ConsumedRecord(
        origin, row["key"], value, tuple((header["name"], header["value"]) for header in row["headers"])
    )
