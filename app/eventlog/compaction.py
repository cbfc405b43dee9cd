"""Compaction of small files into large ones, without losing or duplicating a row, whatever else writes or compacts.

The rows of a time range are overwritten by themselves, in one commit that fails if anyone has changed a row of the
range since. `DeltaTable.optimize.compact` does not guarantee this: of two concurrent calls (deltalake 1.6.6) both
succeed, and every row is duplicated.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow.dataset as ds
from deltalake import DeltaTable, WriterProperties, write_deltalake

from app.settings import MiB

TARGET_BYTES = 64 * MiB
"""Large enough that opening files does not slow a scan, small enough to be written in 300 MiB of memory."""
_WRITER_PROPERTIES = WriterProperties(max_row_group_size=16_384)  # bounds the rows in memory
MAX_SMALL_FILES = 24
"""Readers tolerate this number of small files per day."""
MIN_FILE_AGE = timedelta(minutes=1)
"""A commit next to younger rows could make the compaction fail."""


@dataclass(frozen=True)
class DataFile:
    """A file of a table, whose rows were logged from `first_logged` to `last_logged`."""

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
        """Return the range as an SQL predicate."""
        terms = [f"day = '{self.day}'", f"logged <= '{self.until.isoformat()}'"]
        if self.after is not None:
            terms.append(f"logged > '{self.after.isoformat()}'")
        return " AND ".join(terms)

    @property
    def arrow_filter(self) -> ds.Expression:
        """Return the range as an Arrow expression."""
        expression = (ds.field("day") == self.day) & (ds.field("logged") <= self.until)
        if self.after is not None:
            expression &= ds.field("logged") > self.after
        return expression


def compact(table: DeltaTable, now: datetime) -> int:
    """Compact the ranges that are due; return how many. Raises CommitFailedError if another writer committed first."""
    ranges = plan_compaction(list_files(table), now)
    for compaction_range in ranges:
        table.update_incremental()
        rows = table.to_pyarrow_dataset().scanner(
            filter=compaction_range.arrow_filter, batch_readahead=1, fragment_readahead=1
        )
        write_deltalake(
            table,
            rows.to_reader(),
            mode="overwrite",
            predicate=compaction_range.sql_predicate,
            target_file_size=TARGET_BYTES,
            writer_properties=_WRITER_PROPERTIES,
        )
    return len(ranges)


def list_files(table: DeltaTable) -> list[DataFile]:
    """Return the files of a table from its log."""
    actions = table.get_add_actions(flatten=True)
    names = ("partition.day", "size_bytes", "min.logged", "max.logged")
    return [DataFile(*values) for values in zip(*(actions.column(name).to_pylist() for name in names), strict=True)]


def plan_compaction(files: Iterable[DataFile], now: datetime) -> list[CompactionRange]:
    """Return the ranges with too many small files.

    On the current day a range starts after the last large file, so that rows are not rewritten again and again.
    """
    files_by_day: dict[date, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.last_logged < now - MIN_FILE_AGE:
            files_by_day[file.day].append(file)
    return [
        compaction_range
        for day, day_files in sorted(files_by_day.items())
        for compaction_range in _plan_day(day, day_files, now)
    ]


def _plan_day(day: date, files: Sequence[DataFile], now: datetime) -> Iterator[CompactionRange]:
    after = max((file.last_logged for file in files if file.size >= TARGET_BYTES // 2), default=None)
    small = sorted((file for file in files if file.size < TARGET_BYTES // 2), key=lambda file: file.last_logged)
    tail = [file for file in small if after is None or file.last_logged > after]
    if len(tail) <= MAX_SMALL_FILES and day < now.date():  # older events arrived late, for example in a rebuilt archive
        tail, after = small, None
    if len(tail) <= MAX_SMALL_FILES:
        return
    size = 0
    for file, following in zip(tail, [*tail[1:], None], strict=True):
        size += file.size
        # One file at a time, because the rows to write are in memory.
        if following is None or (size + following.size > TARGET_BYTES and following.last_logged > file.last_logged):
            yield CompactionRange(day, after, file.last_logged)
            after, size = file.last_logged, 0
