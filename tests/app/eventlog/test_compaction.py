from datetime import UTC, datetime, timedelta

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from app.eventlog import compaction
from app.eventlog.archive import Archive
from app.eventlog.compaction import TARGET_BYTES, CompactionRange, DataFile, compact, plan_compaction
from app.settings import Settings
from tests.app.eventlog.samples import COMMITS, NOON, SMALL_FILE_LIMIT, fill_archive, open_table, read_rows, record


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limit, because each commit to a bucket takes a hundred requests."""
    monkeypatch.setattr(compaction, "MAX_SMALL_FILES", SMALL_FILE_LIMIT)


def test_a_compacted_table_has_the_same_rows_in_one_file_and_can_be_appended_to(storage: Settings) -> None:
    archive = fill_archive(storage)
    before = read_rows(archive)
    assert compact(open_table(archive), NOON + timedelta(hours=1)) == 1
    assert read_rows(archive).equals(before)
    assert len(open_table(archive).file_uris()) == 1
    assert archive.append([record(2 * COMMITS - 1, NOON), record(2 * COMMITS, NOON)]) == 1
    assert compact(open_table(archive), NOON + timedelta(hours=1)) == 0


def test_a_file_that_is_compacted_in_part_loses_no_rows(storage: Settings) -> None:
    """The file's rows are logged before, at and after the end of the compacted range."""
    archive = fill_archive(storage)
    last = NOON + timedelta(seconds=5 * (COMMITS - 1) + 3)
    after_compaction_range = last + timedelta(hours=2)
    archive.append([record(2 * COMMITS, last), record(2 * COMMITS + 1, after_compaction_range)])
    before = read_rows(archive)
    assert compact(open_table(archive), after_compaction_range) == 1
    assert read_rows(archive).equals(before)


def test_one_of_two_concurrent_compactions_fails_and_nothing_is_duplicated(storage: Settings) -> None:
    archive = fill_archive(storage)
    before = read_rows(archive)
    stale_table = UnrefreshedTable(archive)
    compact(open_table(archive), NOON + timedelta(hours=1))
    with pytest.raises(CommitFailedError):
        compact(stale_table, NOON + timedelta(hours=1))
    assert read_rows(archive).equals(before)


def test_events_archived_during_a_compaction_are_kept(storage: Settings) -> None:
    archive = fill_archive(storage)
    stale_table = UnrefreshedTable(archive)
    archive.append([record(2 * COMMITS, NOON + timedelta(hours=1))])
    before = read_rows(archive)
    compact(stale_table, NOON + timedelta(minutes=50))
    assert read_rows(archive).equals(before)
    stale_table = UnrefreshedTable(fill_archive(storage, NOON + timedelta(hours=1), first=2 * COMMITS + 1))
    archive.append([record(4 * COMMITS + 1, NOON + timedelta(hours=1))])  # within the compacted range
    before = read_rows(archive)
    with pytest.raises(CommitFailedError):
        compact(stale_table, NOON + timedelta(hours=2))
    assert read_rows(archive).equals(before)


class UnrefreshedTable(DeltaTable):
    """A table in an old version, as if another writer had committed first."""

    def __init__(self, archive: Archive) -> None:
        table = open_table(archive)
        super().__init__(table.table_uri, storage_options=table._storage_options)

    def update_incremental(self) -> None:
        pass


def data_file(minute: int, size: int = 1000, day: int = 1) -> DataFile:
    first = datetime(2026, 3, day, 12, minute, tzinfo=UTC)
    return DataFile(first.date(), size, first, first + timedelta(seconds=55))


def test_few_or_new_small_files_are_not_compacted() -> None:
    assert plan_compaction([data_file(n) for n in range(SMALL_FILE_LIMIT)], NOON + timedelta(hours=1)) == []
    assert plan_compaction([data_file(n) for n in range(50)], NOON + timedelta(minutes=SMALL_FILE_LIMIT)) == []


def test_a_large_file_is_not_compacted_again() -> None:
    large = data_file(5, TARGET_BYTES)
    [compaction_range] = plan_compaction([large, *(data_file(n) for n in range(4, 50))], NOON + timedelta(hours=1))
    assert compaction_range == CompactionRange(large.day, large.last_logged, data_file(49).last_logged)


def test_late_events_are_compacted_with_their_day_once_it_is_over() -> None:
    files = [data_file(59, TARGET_BYTES), *(data_file(n) for n in range(50))]
    assert plan_compaction(files, NOON + timedelta(hours=2)) == []
    assert plan_compaction(files, NOON + timedelta(days=1)) == [
        CompactionRange(NOON.date(), None, data_file(49).last_logged)
    ]


def test_a_large_backlog_is_compacted_one_file_at_a_time() -> None:
    files = [data_file(n, TARGET_BYTES // 20) for n in range(50)]
    ranges = plan_compaction(files, NOON + timedelta(hours=2))
    assert [(compaction_range.after, compaction_range.until) for compaction_range in ranges] == [
        (None, data_file(19).last_logged),
        (data_file(19).last_logged, data_file(39).last_logged),
        (data_file(39).last_logged, data_file(49).last_logged),
    ]
