"""Datasets of `hindsight replay`, as training reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.replay.dataset import SCHEMA
from models import tensors
from models.base import Untrainable
from models.datasets import ROWS, OutputPair, rows


def written(directory: Path, values: list[dict[str, Any]]) -> Path:
    """A dataset of the log's own schema; columns that are not given are null."""
    table = pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in values], SCHEMA)
    pq.write_table(table, directory / ROWS)
    return directory


def values(number: int, **more: Any) -> dict[str, Any]:
    data, declaration = tensors.encode({"image": np.full((2, number + 1), number, np.uint8)})
    said = {"output": json.dumps({"text": str(number)}), "split": "train", "propensity": 1.0}
    return {"features": data, "tensors": declaration, **said, **more}


def test_rows_come_in_order_with_their_features_labels_and_rewards(tmp_path: Path) -> None:
    given = [
        values(0, label='{"text": "a"}'),
        values(1, reward=-0.5, split="test", propensity=0.25, request_source="shop"),
    ]
    first, second = rows(written(tmp_path, given))
    np.testing.assert_array_equal(first.features["image"], np.zeros((2, 1), np.uint8))
    assert (first.output, first.label, first.reward) == ({"text": "0"}, {"text": "a"}, None)
    np.testing.assert_array_equal(second.features["image"], np.ones((2, 2), np.uint8))
    assert (second.split, second.propensity, second.label, second.reward) == ("test", 0.25, None, -0.5)
    assert (first.source, second.source) == ("", "shop")


def test_a_preference_is_a_pair_of_the_served_output_and_another(tmp_path: Path) -> None:
    preferences = json.dumps([{"output": {"text": text}, "better": text == "a"} for text in "ab"])
    first, second = rows(written(tmp_path, [values(0, preferences=preferences), values(1)]))
    assert first.preferences == [OutputPair({"text": "a"}, {"text": "0"}), OutputPair({"text": "0"}, {"text": "b"})]
    assert second.preferences == []


def test_datasets_of_older_releases_have_no_preferences(tmp_path: Path) -> None:
    pq.write_table(pq.read_table(written(tmp_path, [values(0)]) / ROWS).drop_columns("preferences"), tmp_path / ROWS)
    (row,) = rows(tmp_path)
    assert row.preferences == []


def test_all_of_many_rows_come(tmp_path: Path) -> None:
    found = list(rows(written(tmp_path, [values(number % 7) for number in range(1000)])))
    assert [int(row.output["text"]) for row in found] == [number % 7 for number in range(1000)]


def test_what_is_no_dataset_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match=r"rows\.parquet"):
        next(rows(tmp_path))
    (tmp_path / ROWS).write_bytes(b"no parquet")
    with pytest.raises(Untrainable, match="hindsight replay"):
        next(rows(tmp_path))
    pq.write_table(pa.table({"features": [b""]}), tmp_path / ROWS)
    with pytest.raises(Untrainable, match="hindsight replay"):
        next(rows(tmp_path))


def test_features_that_are_not_as_declared_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="declar"):
        next(rows(written(tmp_path, [values(3, features=b"short")])))
