"""A replay that cannot read or write names the file and the remedy, and leaves no part of a dataset."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from app.eventlog.archive import Archive
from app.events.cloudevents import ConsumedRecord
from app.kafka import reader
from app.settings import Settings
from tests.support.commands import CommandResult, run_command
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.request_history import RequestHistory
from tests.support.storage_outages import mount_storage
from tests.support.tasks import Letters

REQUESTS = "letters.requests"
COUNT = 1500


@pytest.fixture(scope="module")
async def log(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker with a short history."""
    settings = platform_settings(tmp_path_factory.mktemp("log"), tasks={"letters": "tests.support.tasks:Letters"})
    rng = random.Random(0)
    requests = [RequestHistory(number, rng.randbytes(1500).hex().encode()) for number in range(COUNT)]
    async with run_processes(settings, only=("kafka",)):
        for kind in (
            RequestHistory.request_record,
            lambda request: request.features_record(Letters()),
            RequestHistory.prediction_record,
        ):
            records = [kind(request) for request in requests]
            outgoing = [OutgoingRecord(record.value, record.key, record.headers) for record in records]
            await publish(settings, records[0].topic, outgoing)
        yield settings


@pytest.fixture
async def archived(log: Settings, tmp_path: Path) -> Settings:
    """Settings with an archive of the requests in three commits, for the test to damage."""
    settings = log.model_copy(update={"blob_url": (tmp_path / "blobs").as_uri()})
    present = await reader.fetch_offset_ranges(settings, [REQUESTS])
    ranges = {partition: (offsets.begin, offsets.end) for partition, offsets in present.items()}
    topic_ids = {partition.topic: offsets.topic_id for partition, offsets in present.items()}
    records: list[ConsumedRecord] = []
    async for batch in reader.read_ranges(settings, ranges, topic_ids):
        records += batch
    records.sort(key=lambda record: record.origin.offset)
    for begin in range(0, COUNT, COUNT // 3):
        await asyncio.to_thread(Archive(settings).append, records[begin : begin + COUNT // 3])
    return settings


async def replay(settings: Settings, out: Path) -> CommandResult:
    return await run_command(settings, "hindsight", "replay", "letters", "--out", str(out))


def remove_a_commit(table: Path) -> str:
    commit = table / "_delta_log" / f"{1:020}.json"
    commit.unlink()
    return str(commit)


def cut_a_file(table: Path) -> str:
    file = max(table.glob("day=*/*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    return file.name


def remove_a_file(table: Path) -> str:
    file = max(table.glob("day=*/*.parquet"))
    file.unlink()
    return file.name


@pytest.mark.parametrize("damage", [remove_a_commit, cut_a_file, remove_a_file])
async def test_the_damaged_file_of_an_archive_is_named_with_the_remedy(
    archived: Settings, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    file = damage(tmp_path / "blobs" / "events" / REQUESTS)
    done = await replay(archived, tmp_path / "after")
    assert done.code == 1
    assert file in done.err
    assert "Restore this file from a backup" in done.err
    assert "Traceback" not in done.err
    assert file_names(tmp_path) == {"blobs"}


async def test_an_archive_of_a_later_version_asks_for_a_later_version(archived: Settings, tmp_path: Path) -> None:
    newer = pa.table({"day": pa.array([], pa.date32()), "mood": pa.array([], pa.string())})
    write_deltalake(Archive(archived).uri(REQUESTS), newer, mode="append", schema_mode="merge")
    done = await replay(archived, tmp_path / "after")
    assert (done.code, file_names(tmp_path)) == (1, {"blobs"})
    assert "mood" in done.err
    assert "upgrade" in done.err


async def test_a_full_disk_is_reported_and_leaves_nothing_of_the_dataset(log: Settings, tmp_path: Path) -> None:
    with mount_storage(tmp_path, size="2m") as storage:
        if "full" not in storage.list_outages():
            pytest.skip("no file system can be mounted here: run as root to test a full disk")
        done = await replay(log, storage.link / "dataset")
        assert done.code == 1
        assert "Free some space" in done.err
        assert file_names(storage.link) == set()


def file_names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}
