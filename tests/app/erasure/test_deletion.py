"""What a table, and a dataset, forget: nothing of it is left in any file."""

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
    who = b"zebra" if offset in ZEBRA and partition == 0 else b"bob"
    origin = Origin(EPOCH, TOPIC, partition, offset, round(NOON.timestamp() * 1000) + offset)
    headers = (("ce_subject", who), ("ce_id", b"%s-%d" % (who, offset)), ("ce_source", who))
    return ConsumedRecord(origin, who, b"the payload of " + who, headers)


def filled(storage: Settings) -> Archive:
    """An archive of two commits."""
    archive = Archive(storage)
    archive.append([record(offset, partition) for partition in (0, 1) for offset in range(5)])
    archive.append([record(offset, partition) for partition in (0, 1) for offset in range(5, 10)])
    return archive


def opened(archive: Archive) -> DeltaTable:
    table = archive.table(TOPIC)
    assert table is not None
    return table


def places(archive: Archive) -> list[tuple[int, int]]:
    rows = opened(archive).to_pyarrow_dataset().to_table(["partition", "offset"])
    return sorted(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))


def everything(storage: Settings) -> str:
    """The content of all files of the table, needed or not."""
    files = fs.PyFileSystem(DeltaStorageHandler(Archive(storage).uri(TOPIC), storage_options(storage)))
    said = ""
    for info in files.get_file_info(fs.FileSelector("", recursive=True)):
        if info.type == fs.FileType.File:
            data = files.open_input_file(info.path).read()
            said += data.decode(errors="replace")
            if info.path.endswith(".parquet"):
                said += repr(pq.ParquetFile(pa.BufferReader(data)).read().to_pylist())
    return said


def test_deleted_rows_are_in_no_file_and_the_archive_goes_on_where_it_was(storage: Settings) -> None:
    archive = filled(storage)
    assert "zebra" in everything(storage)
    assert delete_rows(storage, TOPIC, {(EPOCH, 0): ZEBRA}) == 3
    vacuum(storage, TOPIC)
    assert "zebra" not in everything(storage)
    assert places(archive) == [(p, o) for p in (0, 1) for o in range(10) if (p, o) not in {(0, o) for o in ZEBRA}]
    assert archive.append([record(offset) for offset in range(11)]) == 1, "of what was there none is archived again"


def test_what_deltas_own_log_keeps_of_an_event_is_its_place_and_times(storage: Settings) -> None:
    opened(filled(storage)).create_checkpoint()
    delete_rows(storage, TOPIC, {(EPOCH, 0): ZEBRA})
    vacuum(storage, TOPIC)
    opened(Archive(storage)).create_checkpoint()
    assert "zebra" not in everything(storage)


def test_rows_of_another_epoch_at_the_same_place_stay(storage: Settings) -> None:
    archive = filled(storage)
    assert delete_rows(storage, TOPIC, {("another/topic", 0): ZEBRA}) == 0
    assert len(places(archive)) == 20


def test_deleting_while_others_append_loses_nothing_of_theirs(storage: Settings) -> None:
    archive = filled(storage)

    def append() -> None:
        for offset in range(10, 20):
            while True:
                try:
                    archive.append([record(offset)])
                    break
                except Unavailable:  # the other was faster
                    pass

    writer = threading.Thread(target=append)
    writer.start()
    for offset in ZEBRA:
        assert delete_rows(storage, TOPIC, {(EPOCH, 0): {offset}}) == 1
        vacuum(storage, TOPIC)
    writer.join()
    assert places(archive) == [(0, o) for o in range(20) if o not in ZEBRA] + [(1, o) for o in range(10)]


def test_a_topic_without_a_table_has_nothing_to_delete(storage: Settings) -> None:
    assert delete_rows(storage, TOPIC, {(EPOCH, 0): ZEBRA}) == 0
    vacuum(storage, TOPIC)


@pytest.fixture
def location(tmp_path: Path) -> str:
    """A dataset with one row, of the prediction `1`, labelled by ada."""
    row = dict.fromkeys(dataset.SCHEMA.names) | {"prediction_id": "1", "actors": ["ada"]}
    with dataset.DatasetWriter(tmp_path / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist([row], dataset.SCHEMA))
    dataset.write_manifest(tmp_path / dataset.MANIFEST_FILE, {"rows": 1})
    return tmp_path.as_uri()


def test_a_dataset_has_rows_by_prediction_or_by_who_labelled(location: str) -> None:
    assert has_rows(location, {"1", "2"}, None)
    assert has_rows(location, set(), "ada")
    assert not has_rows(location, {"2"}, "bob")


def test_an_erased_datasets_manifest_says_when(location: str, tmp_path: Path) -> None:
    delete_dataset(location)
    assert [path.name for path in tmp_path.iterdir()] == [dataset.MANIFEST_FILE]
    manifest = json.loads((tmp_path / dataset.MANIFEST_FILE).read_text())
    assert manifest["rows"] == 1
    assert datetime.fromisoformat(manifest["erased"]).tzinfo is not None
    assert not has_rows(location, {"1"}, None)


@pytest.mark.parametrize("elsewhere", ["s3://bucket/dataset", "file:///nowhere/at/all"])
def test_a_dataset_that_is_elsewhere_is_no_dataset_without_rows(elsewhere: str) -> None:
    with pytest.raises(OSError, match=r"dataset|nowhere"):
        has_rows(elsewhere, {"1"}, None)
