"""What the log holds of a topic at one moment: a version of its archive, and the tail that only Kafka has yet."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from aiokafka import TopicPartition
from deltalake import DeltaTable

from app.errors import SetupError
from app.eventlog.archive import Archive, transaction_app_id
from app.eventlog.schema import SCHEMA, to_table
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.kafka import reader as tail
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobStore

_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Snapshot:
    """A topic as it was. `ends` says, for each partition of its present epoch, how far: up to, not including."""

    topic: str
    table: DeltaTable | None
    tail_files: tuple[Path, ...]
    end_offsets: Mapping[int, int]

    def dataset(self) -> ds.Dataset:
        """All rows, with the columns of `app.eventlog.schema.SCHEMA`."""
        parts = [ds.dataset([str(path) for path in self.tail_files], schema=SCHEMA)]
        if self.table is not None:
            parts.append(self.table.to_pyarrow_dataset(schema=SCHEMA))
        return ds.dataset(parts)


async def take(settings: Settings, topics: Sequence[str], scratch: Path) -> dict[str, Snapshot]:
    """Snapshots of the topics, their tails written below `scratch`. Raises KafkaError without a broker."""
    held = await tail.fetch_offset_ranges(settings, list(topics))
    return {topic: await _take_topic(settings, topic, held, scratch) for topic in topics}


async def _take_topic(
    settings: Settings, topic: str, all_held: Mapping[TopicPartition, tail.OffsetRange], scratch: Path
) -> Snapshot:
    held = {tp: one for tp, one in all_held.items() if tp.topic == topic}
    archive = Archive(settings)
    # Kafka forgets what is archived: if it did so in between, then a newer version of the archive has it.
    for _ in range(3):
        table = archive.table(topic)
        starts = {tp: _last_archived_offset(table, one.topic_id, tp.partition) + 1 for tp, one in held.items()}
        lost = [(tp, starts[tp], one.begin) for tp, one in held.items() if starts[tp] < one.begin]
        if not lost:
            break
    else:
        tp, start, begin = lost[0]
        raise SetupError(
            f"The events {start} to {begin - 1} of {topic}, partition {tp.partition}, are neither in Kafka nor in "
            f"{archive.uri(topic)}.",
            "Was the archive's directory moved, or HINDSIGHT_BLOB_URL changed? Put it back.",
        )
    ranges = {tp: (starts[tp], one.end) for tp, one in held.items()}
    blobs = blob_store(settings)
    paths: list[Path] = []
    async for records in tail.read_ranges(settings, ranges, {tp.topic: one.topic_id for tp, one in held.items()}):
        path = scratch / f"{topic}-{len(paths):06}.parquet"
        pq.write_table(to_table(records, blobs.put), path)
        paths.append(path)
    return Snapshot(topic, table, tuple(paths), {tp.partition: max(starts[tp], one.end) for tp, one in held.items()})


def _last_archived_offset(table: DeltaTable | None, epoch: TopicId, partition: int) -> int:
    last = None if table is None else table.transaction_version(transaction_app_id(epoch, partition))
    return -1 if last is None else last


async def read_records(settings: Settings, topic: str) -> AsyncIterator[Sequence[ConsumedRecord]]:
    """All records of a topic, in batches."""
    blobs = blob_store(settings)
    with TemporaryDirectory() as scratch:
        snapshot = (await take(settings, [topic], Path(scratch)))[topic]
        for batch in snapshot.dataset().to_batches(batch_size=_BATCH_ROWS):
            if batch.num_rows:
                yield [record_from_row(row, blobs, settings.max_blob_bytes) for row in batch.to_pylist()]


def record_from_row(row: Mapping[str, Any], blobs: BlobStore, limit: int) -> ConsumedRecord:
    """The record that a row of the archive was made from. Raises `Rejected` for a claim check without its blob."""
    timestamp_ms = round(row["logged"].timestamp() * 1000)
    origin = Origin(TopicId(row["epoch"]), row["topic"], row["partition"], row["offset"], timestamp_ms)
    value = row["data"] if row["data_uri"] is None else blobs.get(row["data_uri"], limit)
    return ConsumedRecord(origin, row["key"], value, tuple((one["name"], one["value"]) for one in row["headers"]))
