import json
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import Field, write_deltalake

from app.errors import SetupError, Unavailable
from app.eventlog.archive import Archive
from app.eventlog.writer import ArchiveWriter
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.settings import Settings

TOPIC = topics.requests("letters")


Damage = Callable[[Path], object]


DamageArchive = Callable[[str, Damage], Settings]


def make_records(numbers: range, data: bytes = b"abc") -> list[ConsumedRecord]:
    return [
        ConsumedRecord(Origin(TopicId("cluster/topic"), TOPIC, 0, offset, 1_700_000_000_000), b"key", data, ())
        for offset in numbers
    ]


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10 : len(content) // 3] = bytes(len(content) // 3 - 10)
    path.write_bytes(content)


@pytest.fixture
def damaged_archive(brokerless: Settings, tmp_path: Path) -> DamageArchive:
    """Return a function that makes an archive of three commits and damages one of its files."""

    def make(pattern: str, damage: Damage) -> Settings:
        settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
        for end in (2, 4, 6):
            Archive(settings).append(make_records(range(end)))
        path = sorted((tmp_path / "events" / TOPIC).glob(pattern))[1]
        damage(path)
        return settings

    return make


@pytest.mark.parametrize("damage", [delete, truncate, overwrite])
def test_a_damaged_file_is_reported_with_the_remedy(
    damaged_archive: DamageArchive, damage: Damage, tmp_path: Path
) -> None:
    names: list[str] = []

    def damage_and_remember(path: Path) -> None:
        names.append(path.name)
        damage(path)

    settings = damaged_archive("day=*/*.parquet", damage_and_remember)
    archive = Archive(settings)
    table = archive.table(TOPIC)
    assert table is not None
    with pytest.raises(SetupError, match="is damaged") as error, archive.diagnose_errors(TOPIC):
        table.to_pyarrow_dataset().to_table()
    assert names[0] in str(error.value)
    assert "Restore this file from a backup" in error.value.remedy


@pytest.mark.parametrize("damage", [delete, lambda path: path.write_text('{"add": ')], ids=["missing", "garbled"])
async def test_a_damaged_log_of_a_table_is_reported_to_readers_and_writers(
    damaged_archive: DamageArchive, damage: Damage
) -> None:
    settings = damaged_archive("_delta_log/*.json", damage)
    with pytest.raises(SetupError, match=f"_delta_log/{1:020}.json") as error:
        Archive(settings).table(TOPIC)
    assert "Restore this file from a backup" in error.value.remedy
    with pytest.raises(Unavailable, match="Restore this file"):
        await ArchiveWriter(settings).write(make_records(range(9)))


def test_a_damaged_checkpoint_is_reported(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(make_records(range(2)))
    table = archive.table(TOPIC)
    assert table is not None
    table.create_checkpoint()
    [checkpoint] = (tmp_path / "events" / TOPIC / "_delta_log").glob("*.checkpoint.parquet")
    checkpoint.write_bytes(b"PAR1")
    with pytest.raises(SetupError, match="_delta_log, its last checkpoint"):
        archive.table(TOPIC)


async def test_a_table_with_unknown_columns_asks_for_an_upgrade(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(make_records(range(2)))
    table = archive.table(TOPIC)
    assert table is not None
    table.alter.add_columns([Field("mood", "string")])  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="has unexpected columns: mood") as error:
        archive.table(TOPIC)
    assert "upgrade" in error.value.remedy
    with pytest.raises(Unavailable, match="upgrade"):
        await ArchiveWriter(settings).write(make_records(range(4)))


@pytest.mark.parametrize(
    "protocol",
    [
        {"minReaderVersion": 9, "minWriterVersion": 9},
        {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["mood"], "writerFeatures": ["mood"]},
    ],
    ids=["version", "feature"],
)
async def test_a_table_with_a_newer_protocol_asks_for_an_upgrade(
    protocol: dict[str, object], brokerless: Settings, tmp_path: Path
) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(make_records(range(2)))
    (tmp_path / "events" / TOPIC / "_delta_log" / f"{2:020}.json").write_text(json.dumps({"protocol": protocol}))
    with pytest.raises(SetupError, match=r"can't be read: .*Unsupported") as error:
        archive.table(TOPIC)
    assert "upgrade" in error.value.remedy
    with pytest.raises(Unavailable, match="upgrade"):
        await ArchiveWriter(settings).write(make_records(range(4)))


def test_a_file_that_was_replaced_while_it_was_read_is_not_damaged(brokerless: Settings, tmp_path: Path) -> None:
    settings = brokerless.model_copy(update={"blob_url": tmp_path.as_uri()})
    archive = Archive(settings)
    archive.append(make_records(range(2)))
    pinned, table = archive.table(TOPIC), archive.table(TOPIC)
    assert pinned is not None
    assert table is not None
    write_deltalake(table, pinned.to_pyarrow_dataset().to_table(), mode="overwrite")
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(SetupError, match="was replaced while it was read") as error, archive.diagnose_errors(TOPIC):
        pinned.to_pyarrow_dataset().to_table()
    assert "Start again" in error.value.remedy
