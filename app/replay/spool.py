"""The wide column of a dataset: read in the order of the log, kept in a file, handed out in the order of the rows.

DuckDB would hold much of a column that it sorts or hashes. Here it only streams it past a narrow table of places, and
memory holds 12 bytes for each row.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.replay import duckdb_views
from app.replay.query import Content
from app.settings import MiB

MAX_PART_BYTES = 32 * MiB
_READ_ROWS = 2_048

_CONTENT_SOURCES = {"features": ("features", "f"), "payload": ("requests", "r")}
"""The topic that has the content, and what the columns of a row with its place there begin with."""
_SELECT_CONTENT = """
SELECT r.rowid AS "position", l.data FROM log_{kind} l JOIN rows r
ON (l.epoch, l."partition", l."offset") = (r.{of}_epoch, r.{of}_partition, r.{of}_offset)
"""
_SELECT_BACKFILLED = 'SELECT "position", features AS data FROM remade'


class ValueFile:
    """Bytes by their position, in a file."""

    def __init__(self, path: Path, count: int) -> None:
        self._file = path.open("w+b")
        self._starts = np.zeros(count, np.int64)
        self._sizes = np.full(count, -1, np.int32)

    def put(self, positions: pa.Array, values: pa.Array) -> None:
        """Keep values, but for those that are null."""
        present = values.is_valid()
        places, values = positions.filter(present).to_numpy(), values.filter(present)
        _, offsets, data = values.buffers()
        bounds = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1].astype(np.int64)
        self._starts[places] = self._file.tell() + bounds[:-1] - bounds[0]
        self._sizes[places] = np.diff(bounds)
        if data is not None:
            self._file.write(memoryview(data)[bounds[0] : bounds[-1]])

    def sizes(self, first: int, count: int) -> NDArray[np.int64]:
        """How large some values are that follow each other."""
        return np.maximum(self._sizes[first : first + count], 0).astype(np.int64)

    def take(self, first: int, count: int) -> pa.Array:
        """Some values that follow each other; null is what was never put."""
        self._file.flush()
        present = self._sizes[first : first + count] >= 0
        sizes = self.sizes(first, count)
        starts, known = self._starts[first : first + count][present], sizes[present]
        # Read in the order of the file, where what is near in time stands near; then put into that of the rows.
        order = np.argsort(starts, kind="stable")
        data = b"".join(
            os.pread(self._file.fileno(), size, start) for start, size in _contiguous_runs(starts[order], known[order])
        )
        offsets = np.concatenate(([0], np.cumsum(known[order]))).astype(np.int32)
        stored = pa.Array.from_buffers(pa.binary(), len(order), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
        places = np.zeros(count, np.int64)
        places[np.flatnonzero(present)[order]] = np.arange(len(order))
        return stored.take(pa.array(places, mask=~present))

    def close(self) -> None:
        """Nothing is put or taken any more."""
        self._file.close()


def _contiguous_runs(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """What was written one after the other is read at once: (start, size)."""
    if len(starts):
        begins = np.concatenate(([0], 1 + np.flatnonzero(starts[1:] != starts[:-1] + sizes[:-1])))
        yield from zip(starts[begins].tolist(), np.add.reduceat(sizes, begins).tolist(), strict=True)


class ContentSpool:
    """The contents of the table `rows`, in the order of time and id."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, content: Content) -> None:
        """Read them."""
        [(count,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
        self._content = content
        self._values = ValueFile(path, count)
        if content != "nothing":
            self._read(connection, *_CONTENT_SOURCES[content])

    def _read(self, connection: duckdb.DuckDBPyConnection, kind: str, of: str) -> None:
        queries = [_SELECT_CONTENT.format(kind=kind, of=of)]
        if self._content == "features":
            queries.append(_SELECT_BACKFILLED)
        # Joins as they are written: what is hashed is the narrow table of places, however small the other is thought.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        [(threads,)] = connection.execute("SELECT current_setting('threads')").fetchall()
        connection.execute("SET threads = 1")  # each holds the content of a whole row group, which may be 64 MiB
        for query in queries:
            for batch in duckdb_views.stream_batches(connection, query, _READ_ROWS):
                self._values.put(batch.column("position"), batch.column("data"))
        connection.execute(f"RESET disabled_optimizers; SET threads = {threads}")

    def attach_contents(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Rows whose positions follow each other, with their contents, in parts of bounded size."""
        first = batch.column("position")[0].as_py()
        elsewhere = batch.column("data_uri").is_valid().to_numpy(zero_copy_only=False)
        sizes = np.where(elsewhere, MAX_PART_BYTES, self._values.sizes(first, batch.num_rows))
        for begin, end in split_by_size(sizes):
            part, columns = batch.slice(begin, end - begin), {"features": pa.binary(), "payload": pa.binary()}
            for name, kind in columns.items():
                values: Any = pa.nulls(part.num_rows, kind)
                if name == self._content:
                    values = self._values.take(first + begin, end - begin)
                part = part.append_column(name, values)
            yield part

    def close(self) -> None:
        """No more rows come."""
        self._values.close()


def split_by_size(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges that are at most `PART_BYTES` large, or one alone that is larger."""
    ends, begin = sizes.cumsum(), 0
    while begin < len(sizes):
        bound = MAX_PART_BYTES + (ends[begin - 1] if begin else 0)
        end = max(begin + 1, int(np.searchsorted(ends, bound, "right")))
        yield begin, end
        begin = end
