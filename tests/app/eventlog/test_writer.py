import logging
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.eventlog.archive import Archive, ArchiveGap
from app.eventlog.schema import MAX_INLINE_BYTES
from app.eventlog.writer import ArchiveWriter
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.kafka import reader
from app.monitoring import metrics
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.storage_outages import mount_storage

TOPIC = topics.requests("letters")
EVENTS = 12


@pytest.fixture
async def log(platform: Settings) -> list[ConsumedRecord]:
    """Return the records of a partition in Kafka."""
    await publish(platform, TOPIC, [OutgoingRecord(b"abc", b"one key")] * EVENTS)
    [tp, offset_range] = max(
        (await reader.fetch_offset_ranges(platform, [TOPIC])).items(), key=lambda item: item[1].end
    )
    return [
        record
        async for batch in reader.read_ranges(
            platform, {tp: (offset_range.begin, offset_range.end)}, {TOPIC: offset_range.topic_id}
        )
        for record in batch
    ]


@pytest.fixture
def settings(platform: Settings, tmp_path: Path) -> Settings:
    return platform.model_copy(update={"blob_url": (tmp_path / "blobs").as_uri()})


def archived_offsets(settings: Settings) -> list[int]:
    """Return the offsets in the archive."""
    table = Archive(settings).table(TOPIC)
    assert table is not None
    offsets: list[int] = table.to_pyarrow_dataset().to_table(["offset"])["offset"].to_pylist()
    return sorted(offsets)


def offsets_of(log: list[ConsumedRecord]) -> list[int]:
    return [record.origin.offset for record in log]


def lost_count() -> float:
    return float(metrics.ARCHIVE_LOST.labels(TOPIC)._value.get())


async def test_records_missing_before_a_batch_are_read_from_kafka_first(
    settings: Settings, log: list[ConsumedRecord]
) -> None:
    """The archive was lost, or the group's offsets ran ahead of it."""
    before = lost_count()
    await ArchiveWriter(settings).write(log[-3:])
    assert archived_offsets(settings) == offsets_of(log)
    assert lost_count() == before


async def test_records_missing_within_a_batch_are_read_from_kafka(
    settings: Settings, log: list[ConsumedRecord]
) -> None:
    archiver = ArchiveWriter(settings)
    await archiver.write(log[:2])
    await archiver.write([*log[1:4], *log[8:10], *log[6:9]])
    assert archived_offsets(settings) == offsets_of(log[:10])


async def test_an_archive_restored_from_a_backup_is_completed(
    settings: Settings, log: list[ConsumedRecord], tmp_path: Path
) -> None:
    archiver = ArchiveWriter(settings)
    await archiver.write(log[:2])
    await archiver.write(log[2:6])
    (tmp_path / "blobs" / "events" / TOPIC / "_delta_log" / f"{2:020}.json").unlink()
    await archiver.write(log[6:])
    assert archived_offsets(settings) == offsets_of(log)


async def test_events_that_kafka_no_longer_has_are_reported_and_do_not_stop_the_archive(
    settings: Settings, log: list[ConsumedRecord], caplog: pytest.LogCaptureFixture
) -> None:
    """Their topic was deleted and created again, as its id tells."""
    deleted = [
        ConsumedRecord(Origin(TopicId("cluster/gone"), TOPIC, 0, offset, record.origin.timestamp_ms), None, b"abc", ())
        for offset, record in enumerate(log)
    ]
    archiver = ArchiveWriter(settings)
    await archiver.write(deleted[:2])
    before = lost_count()
    await archiver.write(deleted[5:7])
    assert archived_offsets(settings) == [0, 1, 5, 6]
    assert lost_count() == before + 3
    assert [
        entry.getMessage()
        for entry in caplog.records
        if entry.levelno == logging.ERROR and "2 to 4 are lost" in entry.message
    ]


async def test_a_gap_waits_for_the_broker_that_may_fill_it(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    with pytest.raises(Unavailable, match="Kafka"):
        await ArchiveWriter(settings).write(make_records(range(5, 6)))
    with pytest.raises(ArchiveGap):
        Archive(settings).append(make_records(range(5, 6)))


def make_records(numbers: range, data: bytes = b"abc") -> list[ConsumedRecord]:
    return [
        ConsumedRecord(Origin(TopicId("cluster/topic"), TOPIC, 0, offset, 1_700_000_000_000), b"key", data, ())
        for offset in numbers
    ]


async def test_a_record_that_was_redelivered_within_a_batch_is_archived_once(
    brokerless: Settings, tmp_path: Path
) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    await ArchiveWriter(settings).write([*make_records(range(5)), *make_records(range(2, 8))])
    assert archived_offsets(settings) == list(range(8))


async def test_a_time_out_of_range_in_utc_does_not_stop_the_archive(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    times = (
        b"0001-01-01T00:00:00+10:00",
        b"9999-12-31T23:59:59-10:00",
        b"0001-01-01T00:00:00Z",
        b"9999-12-31T23:59:59Z",
    )
    records = [
        ConsumedRecord(record.origin, None, b"abc", (("ce_time", time),))
        for record, time in zip(make_records(range(4)), times, strict=True)
    ]
    await ArchiveWriter(settings).write(records)
    assert archived_offsets(settings) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["away", "full", "read-only"])
async def test_a_storage_that_cannot_be_written_makes_the_archive_unavailable(
    kind: str, brokerless: Settings, tmp_path: Path
) -> None:
    with mount_storage(tmp_path) as storage:
        if (outage := storage.list_outages().get(kind)) is None:
            pytest.skip(f"a directory can't be made {kind} here: that needs the right to mount, or not to be root")
        settings = brokerless.model_copy(update={"blob_url": storage.uri})
        archiver = ArchiveWriter(settings)
        await archiver.write(make_records(range(2)))
        with outage():
            for data in (b"abc", bytes(MAX_INLINE_BYTES + 1)):
                with pytest.raises(Unavailable, match=f"the archive of {TOPIC} at {storage.uri}/events/{TOPIC}: ..."):
                    await archiver.write(make_records(range(4), data))
        await archiver.write(make_records(range(4)))
        assert archived_offsets(settings) == list(range(4))
