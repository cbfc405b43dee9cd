import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from app.eventlog import compaction
from app.eventlog.archive import Archive, last_archived_offset
from app.eventlog.compaction import TARGET_BYTES, CompactionRange, DataFile, compact, plan_compaction
from app.eventlog.maintenance import maintain_table, run_once
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.settings import Settings

TOPIC = "ocr.requests"
EPOCH = TopicId("cluster/topic")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEW = 4
COMMITS = FEW + 6


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer files are too many: each commit to a bucket takes a hundred requests."""
    monkeypatch.setattr(compaction, "MAX_SMALL_FILES", FEW)


def record(offset: int, logged: datetime, topic: str = TOPIC) -> ConsumedRecord:
    origin = Origin(EPOCH, topic, 0, offset, round(logged.timestamp() * 1000))
    return ConsumedRecord(origin, b"key", b"payload", (("ce_team", b"red"), ("own", b"\xff")))


def archived(storage: Settings, begin: datetime = NOON, topic: str = TOPIC, first: int = 0) -> Archive:
    """An archive to which a commit was added every five seconds, each of two events."""
    archive = Archive(storage)
    for commit in range(COMMITS):
        logged = begin + timedelta(seconds=5 * commit)
        archive.append([record(first + 2 * commit + n, logged + timedelta(seconds=3 * n), topic) for n in range(2)])
    return archive


def opened(archive: Archive, topic: str = TOPIC) -> DeltaTable:
    table = archive.table(topic)
    assert table is not None
    return table


def rows(archive: Archive, topic: str = TOPIC) -> pa.Table:
    return opened(archive, topic).to_pyarrow_dataset().to_table().sort_by("offset")


def test_a_compacted_table_has_the_same_rows_in_one_file_and_goes_on_where_it_was(storage: Settings) -> None:
    archive = archived(storage)
    before = rows(archive)
    assert compact(opened(archive), NOON + timedelta(hours=1)) == 1
    assert rows(archive).equals(before)
    assert len(opened(archive).file_uris()) == 1
    assert archive.append([record(2 * COMMITS - 1, NOON), record(2 * COMMITS, NOON)]) == 1
    assert compact(opened(archive), NOON + timedelta(hours=1)) == 0


def test_a_file_whose_younger_rows_stay_out_of_the_compaction_loses_none_of_them(storage: Settings) -> None:
    """Its rows stand on both sides of where the compacted stretch ends, and on the very end of it."""
    archive = archived(storage)
    last = NOON + timedelta(seconds=5 * (COMMITS - 1) + 3)
    late = last + timedelta(hours=2)
    archive.append([record(2 * COMMITS, last), record(2 * COMMITS + 1, late)])
    before = rows(archive)
    assert compact(opened(archive), late) == 1
    assert rows(archive).equals(before)


def test_of_two_compactions_at_once_one_fails_and_nothing_is_there_twice(storage: Settings) -> None:
    archive = archived(storage)
    before = rows(archive)
    late = Unrefreshed(archive)
    compact(opened(archive), NOON + timedelta(hours=1))
    with pytest.raises(CommitFailedError):
        compact(late, NOON + timedelta(hours=1))
    assert rows(archive).equals(before)


def test_events_that_are_archived_during_a_compaction_are_kept(storage: Settings) -> None:
    archive = archived(storage)
    late = Unrefreshed(archive)
    archive.append([record(2 * COMMITS, NOON + timedelta(hours=1))])
    before = rows(archive)
    compact(late, NOON + timedelta(minutes=50))
    assert rows(archive).equals(before)
    late = Unrefreshed(archived(storage, NOON + timedelta(hours=1), first=2 * COMMITS + 1))
    archive.append([record(4 * COMMITS + 1, NOON + timedelta(hours=1))])  # of the stretch that is compacted
    before = rows(archive)
    with pytest.raises(CommitFailedError):
        compact(late, NOON + timedelta(hours=2))
    assert rows(archive).equals(before)


class Unrefreshed(DeltaTable):
    """A table as it was, when another writer is faster than this one."""

    def __init__(self, archive: Archive) -> None:
        table = opened(archive)
        super().__init__(table.table_uri, storage_options=table._storage_options)

    def update_incremental(self) -> None:
        pass


def file(minute: int, size: int = 1000, day: int = 1) -> DataFile:
    first = datetime(2026, 3, day, 12, minute, tzinfo=UTC)
    return DataFile(first.date(), size, first, first + timedelta(seconds=55))


def test_a_few_small_files_and_files_that_are_still_new_are_left_alone() -> None:
    assert plan_compaction([file(n) for n in range(FEW)], NOON + timedelta(hours=1)) == []
    assert plan_compaction([file(n) for n in range(50)], NOON + timedelta(minutes=FEW)) == []


def test_what_was_compacted_to_a_large_file_is_not_written_again() -> None:
    large = file(5, TARGET_BYTES)
    [stretch] = plan_compaction([large, *(file(n) for n in range(4, 50))], NOON + timedelta(hours=1))
    assert stretch == CompactionRange(large.day, large.last_logged, file(49).last_logged)


def test_late_events_are_compacted_with_all_of_their_day_once_it_is_over() -> None:
    files = [file(59, TARGET_BYTES), *(file(n) for n in range(50))]
    assert plan_compaction(files, NOON + timedelta(hours=2)) == []
    assert plan_compaction(files, NOON + timedelta(days=1)) == [
        CompactionRange(NOON.date(), None, file(49).last_logged)
    ]


def test_a_large_backlog_is_compacted_one_file_at_a_time() -> None:
    files = [file(n, TARGET_BYTES // 20) for n in range(50)]
    found = plan_compaction(files, NOON + timedelta(hours=2))
    assert [(one.after, one.until) for one in found] == [
        (None, file(19).last_logged),
        (file(19).last_logged, file(39).last_logged),
        (file(39).last_logged, file(49).last_logged),
    ]


def test_days_beyond_the_retention_are_dropped_and_never_archived_again(storage: Settings) -> None:
    settings = storage.model_copy(update={"archive_retention_days": 2.0})
    archive = Archive(settings)
    for topic in (TOPIC, topics.LIFECYCLE):
        archive.append([record(day, NOON + timedelta(days=day), topic) for day in range(4)])
        maintain_table(settings, topic, NOON + timedelta(days=3, hours=3))
    assert rows(archive)["offset"].to_pylist() == [1, 2, 3]
    assert rows(archive, topics.LIFECYCLE)["offset"].to_pylist() == [0, 1, 2, 3]
    assert archive.append([record(0, NOON)]) == 0
    assert last_archived_offset(opened(archive), EPOCH, 0) == 3


def test_files_that_readers_may_still_need_are_kept_for_a_day(storage: Settings) -> None:
    archive = archived(storage)
    pinned = opened(archive)
    maintain_table(storage, TOPIC, NOON + timedelta(hours=1))
    assert len(opened(archive).file_uris()) == 1
    assert pinned.to_pyarrow_dataset().count_rows() == 2 * COMMITS


def test_what_killed_writers_left_half_written_is_deleted_after_a_day(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    directory = archived(settings).directory(TOPIC)
    assert directory is not None
    old, young = directory / "day=2026-03-01" / "part.parquet#1", directory / "_delta_log" / f"{99:020}.json#1"
    for path in (old, young):
        path.write_bytes(b"PAR1")
    os.utime(old, (0, 0))
    maintain_table(settings, TOPIC, datetime.now(UTC))
    assert not old.exists()
    assert young.exists()


async def test_a_table_that_is_damaged_does_not_keep_the_others_from_their_housekeeping(
    brokerless: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = brokerless.model_copy(update={"home": tmp_path})
    archived(settings, topic=topics.features("ocr"))
    archive = archived(settings)
    (log,) = (tmp_path / "blobs" / "events" / topics.features("ocr")).glob("_delta_log/*003.json")
    log.unlink()
    await run_once(settings)
    assert len(opened(archive).file_uris()) == 1
    assert Counter(one.name for one in caplog.records if log.name in str(one.exc_info)) == {
        "app.eventlog.maintenance": 1
    }
