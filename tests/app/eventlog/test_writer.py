import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import Field, write_deltalake

from app.errors import SetupError, Unavailable
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

Harm = Callable[[Path], object]
Break = Callable[[str, Harm], Settings]


@pytest.fixture
async def log(platform: Settings) -> list[ConsumedRecord]:
    """A partition as Kafka holds it, all of whose records are read."""
    await publish(platform, TOPIC, [OutgoingRecord(b"abc", b"one key")] * EVENTS)
    [tp, held] = max((await reader.fetch_offset_ranges(platform, [TOPIC])).items(), key=lambda item: item[1].end)
    return [
        record
        async for found in reader.read_ranges(platform, {tp: (held.begin, held.end)}, {TOPIC: held.topic_id})
        for record in found
    ]


@pytest.fixture
def settings(platform: Settings, tmp_path: Path) -> Settings:
    return platform.model_copy(update={"blob_url": (tmp_path / "blobs").as_uri()})


def offsets(settings: Settings) -> list[int]:
    """The offsets in the archive."""
    table = Archive(settings).table(TOPIC)
    assert table is not None
    found: list[int] = table.to_pyarrow_dataset().to_table(["offset"])["offset"].to_pylist()
    return sorted(found)


def every(log: list[ConsumedRecord]) -> list[int]:
    return [record.origin.offset for record in log]


def lost() -> float:
    return float(metrics.ARCHIVE_LOST.labels(TOPIC)._value.get())


async def test_what_is_missing_before_a_batch_is_read_from_kafka_first(
    settings: Settings, log: list[ConsumedRecord]
) -> None:
    """The archive was lost, or the group's offsets ran ahead of it."""
    before = lost()
    await ArchiveWriter(settings).write(log[-3:])
    assert offsets(settings) == every(log)
    assert lost() == before


async def test_what_is_missing_in_a_batch_is_read_from_kafka_too(settings: Settings, log: list[ConsumedRecord]) -> None:
    archiver = ArchiveWriter(settings)
    await archiver.write(log[:2])
    await archiver.write([*log[1:4], *log[8:10], *log[6:9]])
    assert offsets(settings) == every(log[:10])


async def test_an_archive_that_was_restored_from_a_backup_is_brought_up_to_date(
    settings: Settings, log: list[ConsumedRecord], tmp_path: Path
) -> None:
    archiver = ArchiveWriter(settings)
    await archiver.write(log[:2])
    await archiver.write(log[2:6])
    (tmp_path / "blobs" / "events" / TOPIC / "_delta_log" / f"{2:020}.json").unlink()
    await archiver.write(log[6:])
    assert offsets(settings) == every(log)


async def test_events_that_kafka_no_longer_has_are_counted_and_named_and_do_not_stop_the_archive(
    settings: Settings, log: list[ConsumedRecord], caplog: pytest.LogCaptureFixture
) -> None:
    """Their topic was deleted and made again, as its epoch tells."""
    gone = [
        ConsumedRecord(Origin(TopicId("cluster/gone"), TOPIC, 0, offset, one.origin.timestamp_ms), None, b"abc", ())
        for offset, one in enumerate(log)
    ]
    archiver = ArchiveWriter(settings)
    await archiver.write(gone[:2])
    before = lost()
    await archiver.write(gone[5:7])
    assert offsets(settings) == [0, 1, 5, 6]
    assert lost() == before + 3
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR and "2 to 4 are lost" in r.message]


async def test_a_gap_waits_for_the_broker_that_may_fill_it(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    with pytest.raises(Unavailable, match="Kafka"):
        await ArchiveWriter(settings).write(made(range(5, 6)))
    with pytest.raises(ArchiveGap):
        Archive(settings).append(made(range(5, 6)))


def made(numbers: range, data: bytes = b"abc") -> list[ConsumedRecord]:
    return [
        ConsumedRecord(Origin(TopicId("cluster/topic"), TOPIC, 0, offset, 1_700_000_000_000), b"key", data, ())
        for offset in numbers
    ]


async def test_a_record_that_was_redelivered_within_a_batch_is_archived_once(
    brokerless: Settings, tmp_path: Path
) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    await ArchiveWriter(settings).write([*made(range(5)), *made(range(2, 8))])
    assert offsets(settings) == list(range(8))


async def test_a_time_that_cannot_be_told_in_utc_does_not_stop_the_archive(
    brokerless: Settings, tmp_path: Path
) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    times = (
        b"0001-01-01T00:00:00+10:00",
        b"9999-12-31T23:59:59-10:00",
        b"0001-01-01T00:00:00Z",
        b"9999-12-31T23:59:59Z",
    )
    strange = [
        ConsumedRecord(record.origin, None, b"abc", (("ce_time", time),))
        for record, time in zip(made(range(4)), times, strict=True)
    ]
    await ArchiveWriter(settings).write(strange)
    assert offsets(settings) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["away", "full", "read-only"])
async def test_a_storage_that_can_not_be_written_to_is_waited_for_and_named(
    kind: str, brokerless: Settings, tmp_path: Path
) -> None:
    with mount_storage(tmp_path) as storage:
        if (outage := storage.list_outages().get(kind)) is None:
            pytest.skip(f"a directory can't be made {kind} here: that needs the right to mount, or not to be root")
        settings = brokerless.model_copy(update={"blob_url": storage.uri})
        archiver = ArchiveWriter(settings)
        await archiver.write(made(range(2)))
        with outage():
            for data in (b"abc", bytes(MAX_INLINE_BYTES + 1)):
                with pytest.raises(Unavailable, match=f"the archive of {TOPIC} at {storage.uri}/events/{TOPIC}: ..."):
                    await archiver.write(made(range(4), data))
        await archiver.write(made(range(4)))
        assert offsets(settings) == list(range(4))


def unlinked(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def garbled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10 : len(content) // 3] = bytes(len(content) // 3 - 10)
    path.write_bytes(content)


@pytest.fixture
def broken(brokerless: Settings, tmp_path: Path) -> Break:
    """An archive of three commits, one of whose files is harmed."""

    def harm(pattern: str, harmed: Harm) -> Settings:
        settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
        for end in (2, 4, 6):
            Archive(settings).append(made(range(end)))
        path = sorted((tmp_path / "events" / TOPIC).glob(pattern))[1]
        harmed(path)
        return settings

    return harm


@pytest.mark.parametrize("harmed", [unlinked, cut, garbled])
def test_a_damaged_file_of_the_archive_is_named_with_the_remedy(broken: Break, harmed: Harm, tmp_path: Path) -> None:
    names: list[str] = []

    def harm(path: Path) -> None:
        names.append(path.name)
        harmed(path)

    settings = broken("day=*/*.parquet", harm)
    archive = Archive(settings)
    table = archive.table(TOPIC)
    assert table is not None
    with pytest.raises(SetupError, match="is damaged") as error, archive.diagnose_errors(TOPIC):
        table.to_pyarrow_dataset().to_table()
    assert names[0] in str(error.value)
    assert "Restore this file from a backup" in error.value.remedy


@pytest.mark.parametrize("harmed", [unlinked, lambda path: path.write_text('{"add": ')], ids=["missing", "garbled"])
async def test_a_damaged_log_of_a_table_is_named_by_readers_and_waited_for_by_the_archive(
    broken: Break, harmed: Harm
) -> None:
    settings = broken("_delta_log/*.json", harmed)
    with pytest.raises(SetupError, match=f"_delta_log/{1:020}.json") as error:
        Archive(settings).table(TOPIC)
    assert "Restore this file from a backup" in error.value.remedy
    with pytest.raises(Unavailable, match="Restore this file"):
        await ArchiveWriter(settings).write(made(range(9)))


def test_a_damaged_checkpoint_of_a_table_is_named(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(made(range(2)))
    table = archive.table(TOPIC)
    assert table is not None
    table.create_checkpoint()
    [checkpoint] = (tmp_path / "events" / TOPIC / "_delta_log").glob("*.checkpoint.parquet")
    checkpoint.write_bytes(b"PAR1")
    with pytest.raises(SetupError, match="_delta_log, its last checkpoint"):
        archive.table(TOPIC)


async def test_a_table_with_columns_from_the_future_asks_for_an_upgrade(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(made(range(2)))
    table = archive.table(TOPIC)
    assert table is not None
    table.alter.add_columns([Field("mood", "string")])  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="other columns than are known: mood") as error:
        archive.table(TOPIC)
    assert "upgrade" in error.value.remedy
    with pytest.raises(Unavailable, match="upgrade"):
        await ArchiveWriter(settings).write(made(range(4)))


@pytest.mark.parametrize(
    "protocol",
    [
        {"minReaderVersion": 9, "minWriterVersion": 9},
        {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["mood"], "writerFeatures": ["mood"]},
    ],
    ids=["version", "feature"],
)
async def test_a_table_of_a_protocol_from_the_future_asks_for_an_upgrade(
    protocol: dict[str, object], brokerless: Settings, tmp_path: Path
) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(made(range(2)))
    (tmp_path / "events" / TOPIC / "_delta_log" / f"{2:020}.json").write_text(json.dumps({"protocol": protocol}))
    with pytest.raises(SetupError, match=r"can't be read: .*Unsupported") as error:
        archive.table(TOPIC)
    assert "upgrade" in error.value.remedy
    with pytest.raises(Unavailable, match="upgrade"):
        await ArchiveWriter(settings).write(made(range(4)))


def test_a_file_that_was_replaced_while_it_was_read_is_no_damage(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(made(range(2)))
    pinned, table = archive.table(TOPIC), archive.table(TOPIC)
    assert pinned is not None
    assert table is not None
    write_deltalake(table, pinned.to_pyarrow_dataset().to_table(), mode="overwrite")
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(SetupError, match="was replaced since") as error, archive.diagnose_errors(TOPIC):
        pinned.to_pyarrow_dataset().to_table()
    assert "Begin again" in error.value.remedy
