"""How each store forgets: Kafka the beginning of a partition, a table its rows, a dataset all of its rows."""

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
from app.replay.dataset import ROWS_FILE, _directory
from app.settings import Settings

_MAX_OFFSETS_PER_COMMIT = 10_000
"""Rows that one commit deletes: each of a table's files is written anew by few commits."""
_MAX_TRIES = 20
_ORPHAN_HOURS = 1
"""A file that no commit names and that is so old is what a killed writer left."""

log = logging.getLogger(__name__)


async def delete_before_offsets(settings: Settings, until: Mapping[TopicPartition, int]) -> int:
    """Have Kafka forget what stands before these offsets; how many records that were."""
    if not until:
        return 0
    held = await reader.fetch_offset_ranges(settings, sorted({tp.topic for tp in until}))
    due = {tp: min(end, held[tp].end) for tp, end in until.items() if tp in held and end > held[tp].begin}
    if due:
        await asyncio.to_thread(os.sync)  # what the archive was told is written is on the disk
        admin = clients.create_admin(settings)
        await admin.start()
        try:
            await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in due.items()})
        finally:
            await admin.close()
    return sum(end - held[tp].begin for tp, end in due.items())


def delete_rows(settings: Settings, topic: str, places: Mapping[tuple[str, int], Collection[int]]) -> int:
    """Delete these rows of a topic's table; how many it had. The archive may be written to meanwhile.

    They are named by their places: Delta's log keeps the condition, which must say nothing of a person.
    Raises `Unavailable` when other writers are always faster, SetupError for a table that can't be read.
    """
    deleted = 0
    for (epoch, partition), offsets in places.items():
        ordered = sorted(offsets)
        for start in range(0, len(ordered), _MAX_OFFSETS_PER_COMMIT):
            some = ordered[start : start + _MAX_OFFSETS_PER_COMMIT]
            predicate = (
                f"epoch = '{epoch}' AND \"partition\" = {partition} AND "
                f'"offset" BETWEEN {some[0]} AND {some[-1]} AND "offset" IN ({", ".join(map(str, some))})'
            )
            deleted += _retry_conflicts(settings, topic, partial(_delete, predicate))
    return deleted


def _delete(predicate: str, table: DeltaTable) -> int:
    return int(table.delete(predicate)["num_deleted_rows"])


def vacuum(settings: Settings, topic: str) -> None:
    """Delete the files that a topic's table no longer needs, whoever may still read an earlier version of it."""

    def both(table: DeltaTable) -> int:
        # Without listing, so that a file whose commit is still to come stays.
        gone = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        left = table.vacuum(retention_hours=_ORPHAN_HOURS, enforce_retention_duration=False, dry_run=False, full=True)
        return len(gone) + len(left)

    _retry_conflicts(settings, topic, both)


def _retry_conflicts(settings: Settings, topic: str, change: Callable[[DeltaTable], int]) -> int:
    """Change a table, again when another writer was faster."""
    archive = Archive(settings)
    for _ in range(_MAX_TRIES):
        with archive.diagnose_errors(topic):
            try:
                return 0 if (table := archive.table(topic)) is None else change(table)
            except CommitFailedError as error:
                log.info("the archive of %s: another writer was faster: %s", topic, error)
    raise Unavailable(f"the archive of {topic}: other writers were faster {_MAX_TRIES} times")


def has_rows(location: str, predictions: Collection[str], actor: str | None) -> bool:
    """Whether a dataset has rows of these predictions, or labels of this actor.

    Raises OSError where it is not, and ValueError, KeyError or ArrowException for one that is damaged.
    """
    directory = _directory(location)
    if not directory.is_dir():
        raise FileNotFoundError(location)
    path = directory / ROWS_FILE
    if not path.exists():  # erased before
        return False
    wanted = pa.array(sorted(predictions), pa.string())
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["prediction_id", "actors"]):
            if pc.any(pc.is_in(batch.column("prediction_id"), wanted)).as_py():
                return True
            if actor is not None and pc.any(pc.equal(pc.list_flatten(batch.column("actors")), actor)).as_py():
                return True
    return False
