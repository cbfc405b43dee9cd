"""Contents are returned in another order than they are read in, in parts that fit into memory."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.replay import duckdb_views
from app.replay.spool import MAX_PART_BYTES, ValueFile, split_by_size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.lists(st.none() | st.binary(max_size=20), max_size=40))
def test_values_stored_in_any_order_are_taken_by_position(
    tmp_path: Path, data: st.DataObject, values: list[bytes | None]
) -> None:
    order = data.draw(st.permutations(range(len(values))))
    with closing(ValueFile(tmp_path / "values", len(values))) as value_file:
        size = data.draw(st.integers(1, 10))
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            value_file.put(pa.array(chunk, pa.int64()), pa.array([values[position] for position in chunk], pa.binary()))
        first = data.draw(st.integers(0, len(values)))
        taken = value_file.take(first, len(values) - first)
        taken.validate(full=True)
        assert taken.to_pylist() == values[first:]


def test_a_slice_of_an_array_can_be_stored(tmp_path: Path) -> None:
    with closing(ValueFile(tmp_path / "values", 3)) as value_file:
        value_file.put(pa.array([0, 2]), pa.array([b"no", b"yes", None, b"never"], pa.binary()).slice(1, 2))
        assert value_file.take(0, 3).to_pylist() == [b"yes", None, None]


@given(st.lists(st.integers(0, 2 * MAX_PART_BYTES), max_size=50))
def test_parts_are_bounded_and_complete(sizes: list[int]) -> None:
    ranges = list(split_by_size(np.array(sizes, np.int64)))
    assert [index for begin, end in ranges for index in range(begin, end)] == list(range(len(sizes)))
    assert all(sum(sizes[begin:end]) <= MAX_PART_BYTES or end - begin == 1 for begin, end in ranges)


def test_an_error_during_streaming_is_raised_as_one_of_duckdb() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        query = "SELECT CASE WHEN i < 50000 THEN 'x' ELSE error('torn') END FROM range(100000) t(i)"
        with duckdb.connect() as connection:
            yield from duckdb_views.stream_batches(connection, query, 1000)

    with pytest.raises(duckdb.Error, match="torn"):
        list(rows())
