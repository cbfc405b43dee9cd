"""Small files of a table into large ones, without a row lost or doubled, whoever else writes or compacts.

A table's rows of some stretch of time are replaced by themselves, in one commit that fails when anyone has changed a
row of that stretch since. That is not `DeltaTable.optimize.compact`: of two of these at once (deltalake 1.6.6) both
succeed, and every row is there twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow.dataset as ds
from deltalake import DeltaTable, WriterProperties, write_deltalake

from app.settings import MiB

TARGET_BYTES = 64 * MiB
"""Large enough that a scan is not slowed by opening files, small enough to be made in 300 MiB of memory."""
_WRITER_PROPERTIES = WriterProperties(max_row_group_size=16_384)  # or the rows of a whole file are held until its end
MAX_SMALL_FILES = 24
"""So many small files of a day don't hurt a reader."""
MIN_FILE_AGE = timedelta(minutes=1)
"""Younger rows may still get neighbours, whose commit would make the compaction fail."""


@dataclass(frozen=True)
class DataFile:
    """A file of a table: its rows were logged from `first` to `last`."""

    day: date
    size: int
    first_logged: datetime
    last_logged: datetime


@dataclass(frozen=True)
class CompactionRange:
    """The rows of a day that were logged after `after`, up to `until`."""

    day: date
    after: datetime | None
    until: datetime

    @property
    def sql_predicate(self) -> str:
        """In SQL."""
        terms = [f"day = '{self.day}'", f"logged <= '{self.until.isoformat()}'"]
        if self.after is not None:
            terms.append(f"logged > '{self.after.isoformat()}'")
        return " AND ".join(terms)

    @property
    def arrow_filter(self) -> ds.Expression:
        """For Arrow."""
        expression = (ds.field("day") == self.day) & (ds.field("logged") <= self.until)
        if self.after is not None:
            expression &= ds.field("logged") > self.after
        return expression


def compact(table: DeltaTable, now: datetime) -> int:
    """Compact what is due; how many stretches that were. Raises CommitFailedError when another writer was faster."""
    due = plan_compaction(list_files(table), now)
    for stretch in due:
        table.update_incremental()
        rows = table.to_pyarrow_dataset().scanner(filter=stretch.arrow_filter, batch_readahead=1, fragment_readahead=1)
        write_deltalake(
            table,
            rows.to_reader(),
            mode="overwrite",
            predicate=stretch.sql_predicate,
            target_file_size=TARGET_BYTES,
            writer_properties=_WRITER_PROPERTIES,
        )
    return len(due)


def list_files(table: DeltaTable) -> list[DataFile]:
    """The files of a table, as its log describes them."""
    actions = table.get_add_actions(flatten=True)
    names = ("partition.day", "size_bytes", "min.logged", "max.logged")
    return [DataFile(*values) for values in zip(*(actions.column(name).to_pylist() for name in names), strict=True)]


def plan_compaction(files: Iterable[DataFile], now: datetime) -> list[CompactionRange]:
    """The stretches that have too many small files.

    Of a day that goes on, that is what was logged after the last large file: so nothing is written again and again.
    """
    days: dict[date, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.last_logged < now - MIN_FILE_AGE:
            days[file.day].append(file)
    return [stretch for day, of_day in sorted(days.items()) for stretch in _plan_day(day, of_day, now)]


def _plan_day(day: date, files: Sequence[DataFile], now: datetime) -> Iterator[CompactionRange]:
    after = max((file.last_logged for file in files if file.size >= TARGET_BYTES // 2), default=None)
    small = sorted((file for file in files if file.size < TARGET_BYTES // 2), key=lambda file: file.last_logged)
    tail = [file for file in small if after is None or file.last_logged > after]
    if len(tail) <= MAX_SMALL_FILES and day < now.date():  # older events came late, as when an archive is made again
        tail, after = small, None
    if len(tail) <= MAX_SMALL_FILES:
        return
    size = 0
    for file, following in zip(tail, [*tail[1:], None], strict=True):
        size += file.size
        # One file's worth at a time: what is written is held in memory.
        if following is None or (size + following.size > TARGET_BYTES and following.last_logged > file.last_logged):
            yield CompactionRange(day, after, file.last_logged)
            after, size = file.last_logged, 0
