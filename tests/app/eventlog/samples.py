"""An archive with many small files."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable

from app.eventlog.archive import Archive
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.settings import Settings

TOPIC = "ocr.requests"
EPOCH = TopicId("cluster/topic")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMALL_FILE_LIMIT = 2
COMMITS = SMALL_FILE_LIMIT + 3


def record(offset: int, logged: datetime, topic: str = TOPIC) -> ConsumedRecord:
    origin = Origin(EPOCH, topic, 0, offset, round(logged.timestamp() * 1000))
    return ConsumedRecord(origin, b"key", b"payload", (("ce_team", b"red"), ("own", b"\xff")))


def fill_archive(storage: Settings, begin: datetime = NOON, topic: str = TOPIC, first: int = 0) -> Archive:
    """Return an archive with a commit of two events every five seconds."""
    archive = Archive(storage)
    for commit in range(COMMITS):
        logged = begin + timedelta(seconds=5 * commit)
        archive.append([record(first + 2 * commit + n, logged + timedelta(seconds=3 * n), topic) for n in range(2)])
    return archive


def open_table(archive: Archive, topic: str = TOPIC) -> DeltaTable:
    table = archive.table(topic)
    assert table is not None
    return table


def read_rows(archive: Archive, topic: str = TOPIC) -> pa.Table:
    return open_table(archive, topic).to_pyarrow_dataset().to_table().sort_by("offset")
