"""Deletion from tables and datasets leaves nothing of the data in any file."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from app.erasure.deletion import delete_rows, has_rows, vacuum
from app.errors import Unavailable
from app.eventlog.archive import Archive
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.replay import dataset
from app.replay.dataset import delete_dataset
from app.settings import Settings
from app.storage.delta import storage_options

TOPIC, EPOCH = "ocr.requests", TopicId("cluster/topic")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZEBRA = {2, 3, 7}
"""The offsets of one subject's events: all others are bob's."""


def record(offset: int, partition: int = 0) -> ConsumedRecord:
    subject = b"zebra" if offset in ZEBRA and partition == 0 else b"bob"
    origin = Origin(EPOCH, TOPIC, partition, offset, round(NOON.timestamp() * 1000) + offset)
    headers = (("ce_subject", subject), ("ce_id", b"%s-%d" % (subject, offset)), ("ce_source", subject))
    return ConsumedRecord(origin, subject, b"the payload of " + subject, headers)


def fill_archive(storage: Settings) -> Archive:
    """Return an archive of two commits."""
    archive = Archive(storage)
    archive.append([record(offset, partition) for partition in (0, 1) for offset in range(5)])
    archive.append([record(offset, partition) for partition in (0, 1) for offset in range(5, 10)])
    return archive


def open_table(archive: Archive) -> DeltaTable:
    table = archive.table(TOPIC)
    assert table is not None
    return table


def archived_positions(archive: Archive) -> list[tuple[int, int]]:
    rows = open_table(archive).to_pyarrow_dataset().to_table(["partition", "offset"])
    return sorted(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))


def read_all_files(storage: Settings) -> str:
    """Return the content of all files of the table, needed or not."""
    files = fs.PyFileSystem(DeltaStorageHandler(Archive(storage).uri(TOPIC), storage_options(storage)))
    content = ""
    for info in files.get_file_info(fs.FileSelector("", recursive=True)):
        if info.type == fs.FileType.File:
            data = files.open_input_file(info.path).read()
            content += data.decode(errors="replace")
            if info.path.endswith(".parquet"):
                content += repr(pq.ParquetFile(pa.BufferReader(data)).read().to_pylist())
    return content


def test_deleted_rows_are_in_no_file_and_the_archive_can_be_appended_to(storage: Settings) -> None:
    archive = fill_archive(storage)
    assert "zebra" in read_all_files(storage)
    assert delete_rows(storage, TOPIC, {(EPOCH, 0): ZEBRA}) == 3
    vacuum(storage, TOPIC)
    assert "zebra" not in read_all_files(storage)
    assert archived_positions(archive) == [
        (partition, offset)
        for partition in (0, 1)
        for offset in range(10)
        if (partition, offset) not in {(0, offset) for offset in ZEBRA}
    ]
    assert archive.append([record(offset) for offset in range(11)]) == 1, "deleted records are not archived again"


def test_deltas_log_keeps_no_personal_data(storage: Settings) -> None:
    open_table(fill_archive(storage)).create_checkpoint()
    delete_rows(storage, TOPIC, {(EPOCH, 0): ZEBRA})
    vacuum(storage, TOPIC)
    open_table(Archive(storage)).create_checkpoint()
    assert "zebra" not in read_all_files(storage)


def test_rows_of_another_topic_id_with_the_same_offsets_stay(storage: Settings) -> None:
    archive = fill_archive(storage)
    assert delete_rows(storage, TOPIC, {("another/topic", 0): ZEBRA}) == 0
    assert len(archived_positions(archive)) == 20


def test_deleting_while_others_append_loses_no_rows(storage: Settings) -> None:
    archive = fill_archive(storage)

    def append() -> None:
        for offset in range(10, 20):
            while True:
                try:
                    archive.append([record(offset)])
                    break
                except Unavailable:  # the other writer committed first
                    pass

    writer = threading.Thread(target=append)
    writer.start()
    for offset in ZEBRA:
        assert delete_rows(storage, TOPIC, {(EPOCH, 0): {offset}}) == 1
        vacuum(storage, TOPIC)
    writer.join()
    assert archived_positions(archive) == [(0, offset) for offset in range(20) if offset not in ZEBRA] + [
        (1, offset) for offset in range(10)
    ]


def test_a_topic_without_a_table_has_nothing_to_delete(storage: Settings) -> None:
    assert delete_rows(storage, TOPIC, {(EPOCH, 0): ZEBRA}) == 0
    vacuum(storage, TOPIC)


@pytest.fixture
def location(tmp_path: Path) -> str:
    """Return the location of a dataset with one row, of prediction `1`, labelled by ada."""
    row = dict.fromkeys(dataset.SCHEMA.names) | {"prediction_id": "1", "actors": ["ada"]}
    with dataset.DatasetWriter(tmp_path / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist([row], dataset.SCHEMA))
    dataset.write_manifest(tmp_path / dataset.MANIFEST_FILE, {"rows": 1})
    return tmp_path.as_uri()


def test_a_dataset_has_rows_by_prediction_or_by_actor(location: str) -> None:
    assert has_rows(location, {"1", "2"}, None)
    assert has_rows(location, set(), "ada")
    assert not has_rows(location, {"2"}, "bob")


def test_the_manifest_of_an_erased_dataset_has_the_time(location: str, tmp_path: Path) -> None:
    delete_dataset(location)
    assert [path.name for path in tmp_path.iterdir()] == [dataset.MANIFEST_FILE]
    manifest = json.loads((tmp_path / dataset.MANIFEST_FILE).read_text())
    assert manifest["rows"] == 1
    assert datetime.fromisoformat(manifest["erased"]).tzinfo is not None
    assert not has_rows(location, {"1"}, None)


@pytest.mark.parametrize("location", ["s3://bucket/dataset", "file:///nowhere/at/all"])
def test_a_dataset_that_cannot_be_found_raises(location: str) -> None:
    with pytest.raises(OSError, match=r"dataset|nowhere"):
        has_rows(location, {"1"}, None)
