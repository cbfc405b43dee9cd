import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.eventlog import compaction
from app.eventlog.archive import Archive, last_archived_offset
from app.eventlog.maintenance import maintain_table, run_once
from app.events import topics
from app.settings import Settings
from tests.app.eventlog.samples import (
    COMMITS,
    EPOCH,
    NOON,
    SMALL_FILE_LIMIT,
    TOPIC,
    fill_archive,
    open_table,
    read_rows,
    record,
)


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limit, because each commit to a bucket takes a hundred requests."""
    monkeypatch.setattr(compaction, "MAX_SMALL_FILES", SMALL_FILE_LIMIT)


def test_expired_days_are_dropped_and_never_archived_again(storage: Settings) -> None:
    settings = storage.model_copy(update={"archive_retention_days": 2.0})
    archive = Archive(settings)
    for topic in (TOPIC, topics.LIFECYCLE):
        archive.append([record(day, NOON + timedelta(days=day), topic) for day in range(4)])
        maintain_table(settings, topic, NOON + timedelta(days=3, hours=3))
    assert read_rows(archive)["offset"].to_pylist() == [1, 2, 3]
    assert read_rows(archive, topics.LIFECYCLE)["offset"].to_pylist() == [0, 1, 2, 3]
    assert archive.append([record(0, NOON)]) == 0
    assert last_archived_offset(open_table(archive), EPOCH, 0) == 3


def test_files_that_readers_may_still_need_are_kept_for_a_day(storage: Settings) -> None:
    archive = fill_archive(storage)
    pinned = open_table(archive)
    maintain_table(storage, TOPIC, NOON + timedelta(hours=1))
    assert len(open_table(archive).file_uris()) == 1
    assert pinned.to_pyarrow_dataset().count_rows() == 2 * COMMITS


def test_unfinished_files_of_killed_writers_are_deleted_after_a_day(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    directory = fill_archive(settings).directory(TOPIC)
    assert directory is not None
    old, young = directory / "day=2026-03-01" / "part.parquet#1", directory / "_delta_log" / f"{99:020}.json#1"
    for path in (old, young):
        path.write_bytes(b"PAR1")
    os.utime(old, (0, 0))
    maintain_table(settings, TOPIC, datetime.now(UTC))
    assert not old.exists()
    assert young.exists()


async def test_a_damaged_table_does_not_stop_the_maintenance_of_others(
    brokerless: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = brokerless.model_copy(update={"home": tmp_path})
    fill_archive(settings, topic=topics.features("ocr"))
    archive = fill_archive(settings)
    (commit_file,) = (tmp_path / "blobs" / "events" / topics.features("ocr")).glob("_delta_log/*003.json")
    commit_file.unlink()
    await run_once(settings)
    assert len(open_table(archive).file_uris()) == 1
    assert Counter(record.name for record in caplog.records if commit_file.name in str(record.exc_info)) == {
        "app.eventlog.maintenance": 1
    }
