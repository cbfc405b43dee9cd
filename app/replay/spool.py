"""The wide column of a dataset: read in the order of the log, spooled to a file, returned in the order of the rows.

If DuckDB sorted or hashed such a column, it would hold much of it in memory. Here it only joins it with a narrow table
of positions while streaming; memory holds 12 bytes per row.
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
"""The topic that has the content, and the prefix of the columns of `rows` with the position there."""
_SELECT_CONTENT = """
SELECT r.rowid AS "position", l.data FROM log_{kind} l JOIN rows r
ON (l.epoch, l."partition", l."offset") = (r.{prefix}_epoch, r.{prefix}_partition, r.{prefix}_offset)
"""
_SELECT_BACKFILLED = 'SELECT "position", features AS data FROM backfilled'


class ValueFile:
    """Bytes by position, in a file."""

    def __init__(self, path: Path, count: int) -> None:
        self._file = path.open("w+b")
        self._starts = np.zeros(count, np.int64)
        self._sizes = np.full(count, -1, np.int32)

    def put(self, positions: pa.Array, values: pa.Array) -> None:
        """Store values at their positions; nulls are skipped."""
        present = values.is_valid()
        indices, values = positions.filter(present).to_numpy(), values.filter(present)
        _, offsets, data = values.buffers()
        bounds = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1].astype(np.int64)
        self._starts[indices] = self._file.tell() + bounds[:-1] - bounds[0]
        self._sizes[indices] = np.diff(bounds)
        if data is not None:
            self._file.write(memoryview(data)[bounds[0] : bounds[-1]])

    def sizes(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the sizes of consecutive values."""
        return np.maximum(self._sizes[first : first + count], 0).astype(np.int64)

    def take(self, first: int, count: int) -> pa.Array:
        """Return consecutive values; null where none was stored."""
        self._file.flush()
        present = self._sizes[first : first + count] >= 0
        sizes = self.sizes(first, count)
        starts, present_sizes = self._starts[first : first + count][present], sizes[present]
        # Read in the order of the file, where values of similar times are close, then reorder by row.
        order = np.argsort(starts, kind="stable")
        data = b"".join(
            os.pread(self._file.fileno(), size, start)
            for start, size in _contiguous_runs(starts[order], present_sizes[order])
        )
        offsets = np.concatenate(([0], np.cumsum(present_sizes[order]))).astype(np.int32)
        stored = pa.Array.from_buffers(pa.binary(), len(order), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
        indices = np.zeros(count, np.int64)
        indices[np.flatnonzero(present)[order]] = np.arange(len(order))
        return stored.take(pa.array(indices, mask=~present))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _contiguous_runs(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield (start, size) of values that are contiguous in the file, to read them at once."""
    if len(starts):
        run_starts = np.concatenate(([0], 1 + np.flatnonzero(starts[1:] != starts[:-1] + sizes[:-1])))
        yield from zip(starts[run_starts].tolist(), np.add.reduceat(sizes, run_starts).tolist(), strict=True)


class ContentSpool:
    """The contents of the table `rows`, ordered by time and id."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, content: Content) -> None:
        """Read the contents into the file."""
        [(count,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
        self._content = content
        self._values = ValueFile(path, count)
        if content != "nothing":
            self._read(connection, *_CONTENT_SOURCES[content])

    def _read(self, connection: duckdb.DuckDBPyConnection, kind: str, prefix: str) -> None:
        queries = [_SELECT_CONTENT.format(kind=kind, prefix=prefix)]
        if self._content == "features":
            queries.append(_SELECT_BACKFILLED)
        # Keep the joins as written: the narrow table of positions is hashed, whatever the optimizer estimates.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        [(threads,)] = connection.execute("SELECT current_setting('threads')").fetchall()
        connection.execute("SET threads = 1")  # each thread holds a row group, which may be 64 MiB
        for query in queries:
            for batch in duckdb_views.stream_batches(connection, query, _READ_ROWS):
                self._values.put(batch.column("position"), batch.column("data"))
        connection.execute(f"RESET disabled_optimizers; SET threads = {threads}")

    def attach_contents(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield consecutive rows with their contents, in parts of bounded size."""
        first = batch.column("position")[0].as_py()
        in_blobs = batch.column("data_uri").is_valid().to_numpy(zero_copy_only=False)
        sizes = np.where(in_blobs, MAX_PART_BYTES, self._values.sizes(first, batch.num_rows))
        for begin, end in split_by_size(sizes):
            part, columns = batch.slice(begin, end - begin), {"features": pa.binary(), "payload": pa.binary()}
            for name, column_type in columns.items():
                values: Any = pa.nulls(part.num_rows, column_type)
                if name == self._content:
                    values = self._values.take(first + begin, end - begin)
                part = part.append_column(name, values)
            yield part

    def close(self) -> None:
        """Close the file."""
        self._values.close()


def split_by_size(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of at most `MAX_PART_BYTES`, or of a single larger item."""
    ends, begin = sizes.cumsum(), 0
    while begin < len(sizes):
        limit = MAX_PART_BYTES + (ends[begin - 1] if begin else 0)
        end = max(begin + 1, int(np.searchsorted(ends, limit, "right")))
        yield begin, end
        begin = end
