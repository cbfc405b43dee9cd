"""Which datasets an erasure deletes: one that is damaged, or can't be written, keeps no other from it."""

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


def log_of(*locations: str) -> Any:
    """A reader of a log that says that datasets were written to these locations."""

    def rows(topic: str, columns: Sequence[str], wanted: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        for location in locations:
            said = DatasetBuilt(task="ocr", content_hash="h", location=location, rows=1, manifest={})
            yield {"type": said.type, "data": said.model_dump_json().encode()}

    return rows


@pytest.fixture
def whole(tmp_path: Path) -> str:
    """A dataset with a label of ada's."""
    (tmp_path / "whole").mkdir()
    return write_dataset(tmp_path / "whole", [{"prediction_id": "1", "actors": ["ada"]}]).as_uri()


@pytest.mark.parametrize(
    "rows",
    [
        b"garbage",
        b"",
        pa.table({"other": [1]}),
        pa.table({"prediction_id": [1], "actors": ["ada"]}),
        pa.table({"prediction_id": ["1"]}),
    ],
    ids=["no Parquet", "empty", "other columns", "other types", "a column less"],
)
def test_a_damaged_dataset_is_named_and_the_others_are_looked_into(
    rows: bytes | pa.Table, whole: str, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    if isinstance(rows, bytes):
        (damaged / ROWS_FILE).write_bytes(rows)
    else:
        pq.write_table(rows, damaged / ROWS_FILE)
    found, unreachable = find_datasets(log_of(damaged.as_uri(), whole, "file://[", "s3://b/d"), ADA, PersonalData())
    assert (found, unreachable) == ((whole,), tuple(sorted([damaged.as_uri(), "file://[", "s3://b/d"])))


@pytest.mark.parametrize("manifest", [b"garbage", b"[1]", b"", None])
async def test_a_dataset_with_a_damaged_manifest_is_erased(manifest: bytes | None, whole: str, tmp_path: Path) -> None:
    path = tmp_path / "whole" / MANIFEST_FILE
    path.unlink() if manifest is None else path.write_bytes(manifest)
    assert await delete_datasets([whole]) == set()
    assert not (tmp_path / "whole" / ROWS_FILE).exists()
    assert "erased" in json.loads(path.read_text())


async def test_a_dataset_that_can_not_be_deleted_is_named_and_the_others_are(whole: str, tmp_path: Path) -> None:
    stuck = tmp_path / "stuck"
    (stuck / ROWS_FILE).mkdir(parents=True)
    assert await delete_datasets([stuck.as_uri(), whole]) == {stuck.as_uri()}
    assert not (tmp_path / "whole" / ROWS_FILE).exists()
