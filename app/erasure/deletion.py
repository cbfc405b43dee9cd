"""Deletion from each store: records in Kafka, rows of archive tables, datasets with personal data."""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from app.errors import Unavailable
from app.eventlog.archive import Archive
from app.kafka import clients, reader
from app.replay.dataset import ROWS_FILE, dataset_directory
from app.settings import Settings

_MAX_OFFSETS_PER_COMMIT = 10_000
"""The number of rows that one commit deletes: few commits rewrite a table's files seldom."""
_MAX_TRIES = 20
_ORPHAN_HOURS = 1
"""A file of this age that no commit names was left by a killed writer."""

log = logging.getLogger(__name__)


async def delete_before_offsets(settings: Settings, until: Mapping[TopicPartition, int]) -> int:
    """Delete the records before these offsets from Kafka; return how many."""
    if not until:
        return 0
    offset_ranges = await reader.fetch_offset_ranges(settings, sorted({tp.topic for tp in until}))
    ends = {
        tp: min(end, offset_ranges[tp].end)
        for tp, end in until.items()
        if tp in offset_ranges and end > offset_ranges[tp].begin
    }
    if ends:
        await asyncio.to_thread(os.sync)  # the archive's files are on disk before Kafka deletes the records
        async with clients.open_admin(settings) as admin:
            await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in ends.items()})
    return sum(end - offset_ranges[tp].begin for tp, end in ends.items())


def delete_rows(settings: Settings, topic: str, positions: Mapping[tuple[str, int], Collection[int]]) -> int:
    """Delete these rows of a topic's table; return how many existed. Others may write to the table meanwhile.

    Rows are identified by their offsets, because Delta's log keeps the condition, which must not contain personal data.
    Raises `Unavailable` if other writers always commit first, SetupError if the table can't be read.
    """
    deleted = 0
    for (topic_id, partition), offsets in positions.items():
        ordered = sorted(offsets)
        for start in range(0, len(ordered), _MAX_OFFSETS_PER_COMMIT):
            chunk = ordered[start : start + _MAX_OFFSETS_PER_COMMIT]
            predicate = (
                f"epoch = '{topic_id}' AND \"partition\" = {partition} AND "
                f'"offset" BETWEEN {chunk[0]} AND {chunk[-1]} AND "offset" IN ({", ".join(map(str, chunk))})'
            )
            deleted += _retry_conflicts(settings, topic, partial(_delete, predicate))
    return deleted


def _delete(predicate: str, table: DeltaTable) -> int:
    return int(table.delete(predicate)["num_deleted_rows"])


def vacuum(settings: Settings, topic: str) -> None:
    """Delete the files that a topic's table no longer needs, although readers of earlier versions may."""

    def vacuum_twice(table: DeltaTable) -> int:
        # Without listing, to keep files that are not committed yet.
        unneeded = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        orphans = table.vacuum(
            retention_hours=_ORPHAN_HOURS, enforce_retention_duration=False, dry_run=False, full=True
        )
        return len(unneeded) + len(orphans)

    _retry_conflicts(settings, topic, vacuum_twice)


def _retry_conflicts(settings: Settings, topic: str, change: Callable[[DeltaTable], int]) -> int:
    """Change a table; retry if another writer committed first."""
    archive = Archive(settings)
    for _ in range(_MAX_TRIES):
        with archive.diagnose_errors(topic):
            try:
                return 0 if (table := archive.table(topic)) is None else change(table)
            except CommitFailedError as error:
                log.info("the archive of %s: another writer committed first: %s", topic, error)
    raise Unavailable(f"the archive of {topic}: other writers committed first {_MAX_TRIES} times")


def has_rows(location: str, predictions: Collection[str], actor: str | None) -> bool:
    """Return whether a dataset has rows of these predictions, or labels of this actor.

    Raises OSError if it can't be found, and ValueError, KeyError or ArrowException if it is damaged.
    """
    directory = dataset_directory(location)
    if not directory.is_dir():
        raise FileNotFoundError(location)
    path = directory / ROWS_FILE
    if not path.exists():  # erased before
        return False
    prediction_ids = pa.array(sorted(predictions), pa.string())
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["prediction_id", "actors"]):
            if pc.any(pc.is_in(batch.column("prediction_id"), prediction_ids)).as_py():
                return True
            if actor is not None and pc.any(pc.equal(pc.list_flatten(batch.column("actors")), actor)).as_py():
                return True
    return False
