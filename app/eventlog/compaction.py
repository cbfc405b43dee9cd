"""Small files of a table into large ones, without a row lost or doubled, whoever else writes or compacts.

A table's rows of some stretch of time are replaced by themselves, in one commit that fails when anyone has changed a
row of that stretch since. That is not `DeltaTable.optimize.compact`: of two of these at once (deltalake 1.6.6) both
succeed, and every row is there twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

from app.settings import MiB

TARGET_BYTES = 128 * MiB
"""Large enough that a scan is not slowed by opening files, small enough that a filter by time skips most of them."""
FEW = 24
"""So many small files of a day don't hurt a reader."""
SETTLED = timedelta(minutes=1)
"""Younger rows may still get neighbours, whose commit would make the compaction fail."""


@dataclass(frozen=True)
class File:
    """A file of a table: its rows were logged from `first` to `last`."""

    day: date
    size: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Stretch:
    """The rows of a day that were logged after `after`, up to `until`."""

    day: date
    after: datetime | None = None
    until: datetime | None = None

    @property
    def predicate(self) -> str:
        """In SQL."""
        terms = [f"day = '{self.day}'"]
        if self.after is not None:
            terms.append(f"logged > '{self.after.isoformat()}'")
        if self.until is not None:
            terms.append(f"logged <= '{self.until.isoformat()}'")
        return " AND ".join(terms)

    @property
    def expression(self) -> ds.Expression:
        """For Arrow."""
        expression = ds.field("day") == self.day
        if self.after is not None:
            expression &= ds.field("logged") > self.after
        if self.until is not None:
            expression &= ds.field("logged") <= self.until
        return expression


def compact(table: DeltaTable, now: datetime) -> int:
    """Compact what is due; how many stretches that were. Raises CommitFailedError when another writer was faster."""
    due = stretches(files(table), now)
    for stretch in due:
        table.update_incremental()
        rows = table.to_pyarrow_dataset().scanner(filter=stretch.expression, batch_readahead=1, fragment_readahead=1)
        write_deltalake(
            table, rows.to_reader(), mode="overwrite", predicate=stretch.predicate, target_file_size=TARGET_BYTES
        )
    return len(due)


def files(table: DeltaTable) -> list[File]:
    """The files of a table, as its log describes them."""
    actions = table.get_add_actions(flatten=True)
    names = ("partition.day", "size_bytes", "min.logged", "max.logged")
    return [File(*values) for values in zip(*(actions.column(name).to_pylist() for name in names), strict=True)]


def stretches(files: Iterable[File], now: datetime) -> list[Stretch]:
    """The stretches that have too many small files.

    Of a day that goes on, that is what was logged after the last large file: so nothing is written again and again.
    """
    days: dict[date, list[File]] = defaultdict(list)
    for file in files:
        if file.last < now - SETTLED:
            days[file.day].append(file)
    found = [_stretch(day, of_day, now) for day, of_day in sorted(days.items())]
    return [stretch for stretch in found if stretch is not None]


def _stretch(day: date, files: Sequence[File], now: datetime) -> Stretch | None:
    after = max((file.last for file in files if file.size >= TARGET_BYTES // 2), default=None)
    small = [file for file in files if file.size < TARGET_BYTES // 2]
    tail = [file for file in small if after is None or file.last > after]
    if len(tail) > FEW:
        return Stretch(day, after, max(file.last for file in tail))
    if len(small) > FEW and day < now.date():  # older events came late, as when an archive is made again
        return Stretch(day)
    return None
