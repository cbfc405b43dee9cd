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
from app.eventlog.archive import Archive, application
from app.eventlog.schema import SCHEMA, table_of
from app.events.cloudevents import Incoming, LogEpoch, Origin
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
    tail: tuple[Path, ...]
    ends: Mapping[int, int]

    def dataset(self) -> ds.Dataset:
        """All rows, with the columns of `app.eventlog.schema.SCHEMA`."""
        parts = [ds.dataset([str(path) for path in self.tail], schema=SCHEMA)]
        if self.table is not None:
            parts.append(self.table.to_pyarrow_dataset(schema=SCHEMA))
        return ds.dataset(parts)


async def take(settings: Settings, topics: Sequence[str], scratch: Path) -> dict[str, Snapshot]:
    """Snapshots of the topics, their tails written below `scratch`. Raises KafkaError without a broker."""
    held = await tail.held(settings, list(topics))
    return {topic: await _of_topic(settings, topic, held, scratch) for topic in topics}


async def _of_topic(
    settings: Settings, topic: str, all_held: Mapping[TopicPartition, tail.Held], scratch: Path
) -> Snapshot:
    held = {tp: one for tp, one in all_held.items() if tp.topic == topic}
    archive = Archive(settings)
    # Kafka forgets what is archived: if it did so in between, then a newer version of the archive has it.
    for _ in range(3):
        table = archive.table(topic)
        starts = {tp: _archived(table, one.epoch, tp.partition) + 1 for tp, one in held.items()}
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
    async for records in tail.read(settings, ranges, {tp.topic: one.epoch for tp, one in held.items()}):
        path = scratch / f"{topic}-{len(paths):06}.parquet"
        pq.write_table(table_of(records, blobs.put), path)
        paths.append(path)
    return Snapshot(topic, table, tuple(paths), {tp.partition: max(starts[tp], one.end) for tp, one in held.items()})


def _archived(table: DeltaTable | None, epoch: LogEpoch, partition: int) -> int:
    last = None if table is None else table.transaction_version(application(epoch, partition))
    return -1 if last is None else last


async def records(settings: Settings, topic: str) -> AsyncIterator[Sequence[Incoming]]:
    """All records of a topic, in batches."""
    blobs = blob_store(settings)
    with TemporaryDirectory() as scratch:
        snapshot = (await take(settings, [topic], Path(scratch)))[topic]
        for batch in snapshot.dataset().to_batches(batch_size=_BATCH_ROWS):
            if batch.num_rows:
                yield [incoming(row, blobs, settings.max_blob_bytes) for row in batch.to_pylist()]


def incoming(row: Mapping[str, Any], blobs: BlobStore, limit: int) -> Incoming:
    """The record that a row of the archive was made from. Raises `Rejected` for a claim check without its blob."""
    timestamp_ms = round(row["logged"].timestamp() * 1000)
    origin = Origin(LogEpoch(row["epoch"]), row["topic"], row["partition"], row["offset"], timestamp_ms)
    value = row["data"] if row["data_uri"] is None else blobs.get(row["data_uri"], limit)
    return Incoming(origin, row["key"], value, tuple((one["name"], one["value"]) for one in row["headers"]))
