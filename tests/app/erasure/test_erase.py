"""The datasets that an erasure deletes: a damaged or undeletable one does not stop the others."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from app.erasure.erase import delete_datasets, find_datasets
from app.erasure.search import DataSubject, PersonalData
from app.events.model_events import DatasetBuilt
from app.replay.dataset import MANIFEST_FILE, ROWS_FILE
from tests.support.datasets import write_dataset

ADA = DataSubject(actor="ada")


def row_reader(*locations: str) -> Any:
    """Return a reader of a log with datasets at these locations."""

    def rows(topic: str, columns: Sequence[str], condition: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        for location in locations:
            dataset_built = DatasetBuilt(task="ocr", content_hash="h", location=location, rows=1, manifest={})
            yield {"type": dataset_built.type, "data": dataset_built.model_dump_json().encode()}

    return rows


@pytest.fixture
def intact(tmp_path: Path) -> str:
    """Return the location of a dataset with a label of ada's."""
    (tmp_path / "intact").mkdir()
    return write_dataset(tmp_path / "intact", [{"prediction_id": "1", "actors": ["ada"]}]).as_uri()


@pytest.mark.parametrize(
    "rows",
    [
        b"garbage",
        b"",
        pa.table({"other": [1]}),
        pa.table({"prediction_id": [1], "actors": ["ada"]}),
        pa.table({"prediction_id": ["1"]}),
    ],
    ids=["not Parquet", "empty", "other columns", "other types", "a missing column"],
)
def test_a_damaged_dataset_is_reported_and_the_others_are_searched(
    rows: bytes | pa.Table, intact: str, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    if isinstance(rows, bytes):
        (damaged / ROWS_FILE).write_bytes(rows)
    else:
        pq.write_table(rows, damaged / ROWS_FILE)
    datasets, unreachable = find_datasets(
        row_reader(damaged.as_uri(), intact, "file://[", "s3://b/d"), ADA, PersonalData()
    )
    assert (datasets, unreachable) == ((intact,), tuple(sorted([damaged.as_uri(), "file://[", "s3://b/d"])))


@pytest.mark.parametrize("manifest", [b"garbage", b"[1]", b"", None])
async def test_a_dataset_with_a_damaged_manifest_is_erased(manifest: bytes | None, intact: str, tmp_path: Path) -> None:
    path = tmp_path / "intact" / MANIFEST_FILE
    path.unlink() if manifest is None else path.write_bytes(manifest)
    assert await delete_datasets([intact]) == set()
    assert not (tmp_path / "intact" / ROWS_FILE).exists()
    assert "erased" in json.loads(path.read_text())


async def test_an_undeletable_dataset_is_reported_and_the_others_are_deleted(intact: str, tmp_path: Path) -> None:
    undeletable = tmp_path / "stuck"
    (undeletable / ROWS_FILE).mkdir(parents=True)
    assert await delete_datasets([undeletable.as_uri(), intact]) == {undeletable.as_uri()}
    assert not (tmp_path / "intact" / ROWS_FILE).exists()
