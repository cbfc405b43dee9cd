"""Contents are handed out in another order than they are read in, in parts that fit into memory."""

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
def test_what_was_put_in_any_order_is_taken_in_that_of_positions(
    tmp_path: Path, data: st.DataObject, values: list[bytes | None]
) -> None:
    order = data.draw(st.permutations(range(len(values))))
    with closing(ValueFile(tmp_path / "values", len(values))) as kept:
        size = data.draw(st.integers(1, 10))
        for start in range(0, len(order), size):
            some = order[start : start + size]
            kept.put(pa.array(some, pa.int64()), pa.array([values[one] for one in some], pa.binary()))
        first = data.draw(st.integers(0, len(values)))
        taken = kept.take(first, len(values) - first)
        taken.validate(full=True)
        assert taken.to_pylist() == values[first:]


def test_a_slice_is_put_as_what_it_is(tmp_path: Path) -> None:
    with closing(ValueFile(tmp_path / "values", 3)) as kept:
        kept.put(pa.array([0, 2]), pa.array([b"no", b"yes", None, b"never"], pa.binary()).slice(1, 2))
        assert kept.take(0, 3).to_pylist() == [b"yes", None, None]


@given(st.lists(st.integers(0, 2 * MAX_PART_BYTES), max_size=50))
def test_parts_are_bounded_and_leave_nothing_out(sizes: list[int]) -> None:
    found = list(split_by_size(np.array(sizes, np.int64)))
    assert [place for begin, end in found for place in range(begin, end)] == list(range(len(sizes)))
    assert all(sum(sizes[begin:end]) <= MAX_PART_BYTES or end - begin == 1 for begin, end in found)


def test_an_error_in_the_midst_of_an_answer_is_one_of_duckdb() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        query = "SELECT CASE WHEN i < 50000 THEN 'x' ELSE error('torn') END FROM range(100000) t(i)"
        with duckdb.connect() as connection:
            yield from duckdb_views.stream_batches(connection, query, 1000)

    with pytest.raises(duckdb.Error, match="torn"):
        list(rows())
