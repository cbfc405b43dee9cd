"""A dataset on disk: rows in Parquet, a manifest, and the hash of the content."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.errors import SetupError

ROWS_FILE = "rows.parquet"
MANIFEST_FILE = "manifest.json"

SCHEMA = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("request_id", pa.string()),
        ("request_source", pa.string()),
        ("entity", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("split", pa.string()),
        ("features", pa.binary()),
        ("tensors", pa.string()),
        ("payload", pa.binary()),
        ("output", pa.string()),
        ("confidence", pa.float64()),
        ("propensity", pa.float64()),
        ("version", pa.string()),
        ("role", pa.string()),
        ("label", pa.string()),
        ("actors", pa.list_(pa.string())),
        ("contradicted", pa.bool_()),
        ("accepted", pa.bool_()),
        ("reward", pa.float64()),
        ("rewards", pa.string()),
        ("position_rewards", pa.string()),
        ("reward_defaulted", pa.bool_()),
        ("score", pa.float64()),
        ("selection", pa.string()),
        ("selection_probability", pa.float64()),
        ("audit_answered", pa.bool_()),
        ("preferences", pa.string()),
    ]
)
"""A row for each served prediction, in the order of `time` and `prediction_id`. `output`, `label`, `rewards`,
`position_rewards` and `preferences` are JSON; `features` are tensors, as `models.tensors.decode(features, tensors)`
reads them."""


_ADDED_LATER = frozenset({"audit_answered", "rewards", "position_rewards", "preferences"})
"""Columns that older releases lack. They are a part of the content hash only if they have a value."""
_DICTIONARY_COLUMNS = ["request_source", "tensors", "split", "version", "role", "selection", "actors.list.element"]
"""Columns with few different values; for the others Parquet would try a dictionary in vain."""


class ContentHash:
    """SHA-256 of rows, column by column: independent of the batches and of the file they are in.

    For each column it hashes which values are null, the lengths of the others (text, bytes and lists) and the values:
    numbers and times as little-endian 64 bits, text in UTF-8, booleans as bytes, lists as a column of their elements.
    """

    def __init__(self) -> None:
        self._columns: dict[str, tuple[Any, Any, Any]] = {}
        self._with_values: set[str] = set()

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self._update_column(name, column)
            if column.null_count < len(column):
                self._with_values.add(name)

    def hexdigest(self) -> str:
        """Return the hash of all rows so far."""
        total = hashlib.sha256()
        absent = _ADDED_LATER - self._with_values
        for name, digests in sorted(self._columns.items()):
            if name in absent:
                continue
            total.update(f"{name}\0".encode() + b"".join(digest.digest() for digest in digests))
        return total.hexdigest()

    def _update_column(self, name: str, column: pa.Array) -> None:
        nulls, lengths, values = self._columns.setdefault(name, (hashlib.sha256(), hashlib.sha256(), hashlib.sha256()))
        nulls.update(_bytes(column.is_null(), np.uint8))
        present = column.drop_null()
        if pa.types.is_list(column.type):
            lengths.update(_bytes(pc.list_value_length(present), np.int64))
            self._update_column(f"{name}[]", pc.list_flatten(present))
        elif pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            lengths.update(_bytes(pc.binary_length(present), np.int64))
            values.update(_concatenate(present))
        elif pa.types.is_timestamp(column.type):
            values.update(_bytes(present.cast(pa.int64()), np.int64))
        elif pa.types.is_floating(column.type):
            values.update(_bytes(present, np.float64))
        else:
            values.update(_bytes(present, np.uint8))


def _bytes(column: pa.Array, dtype: type) -> bytes:
    values = column.to_numpy(zero_copy_only=False).astype(np.dtype(dtype).newbyteorder("<"), copy=False)
    return bytes(values.tobytes())


def _concatenate(column: pa.Array) -> memoryview | bytes:
    """Return the bytes of all values without copying them."""
    if not len(column):
        return b""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return memoryview(data)[bounds[0] : bounds[-1]] if data is not None else b""


class DatasetWriter:
    """Writer of rows into a Parquet file: compresses and hashes a batch while the next one is prepared."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(
            path, SCHEMA, compression="zstd", compression_level=1, use_dictionary=_DICTIONARY_COLUMNS
        )
        self._pool = ThreadPoolExecutor(2)
        self._pending: list[Future[None]] = []
        self._hash = ContentHash()
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._wait()
        self._pending = [
            self._pool.submit(function, batch) for function in (self._writer.write_batch, self._hash.update)
        ]
        self.rows += batch.num_rows

    def _wait(self) -> None:
        """Wait for the previous batch, so that at most one is in memory."""
        for future in self._pending:
            future.result()

    @property
    def content_hash(self) -> str:
        """Return the hash of all rows; call it after the end of the block."""
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        try:
            if error is None:
                self._wait()
        finally:
            self._writer.close()


@contextmanager
def create_atomically(out: Path) -> Iterator[Path]:
    """Yield a directory to fill, which is renamed to `out` at the end of the block, or deleted if the block raises.

    Raises `SetupError` if `out` exists and is not an empty directory, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SetupError(f"{out} exists already.", "Name another directory, or remove it first.")
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise SetupError(f"{out} can't be written: {error}.", "Free some space, or name another directory.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest as readable JSON."""
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def delete_dataset(location: str) -> None:
    """Delete a dataset's rows, and record the erasure in its manifest. Raises OSError.

    A damaged manifest is replaced by the record of the erasure alone.
    """
    directory = dataset_directory(location)
    try:
        manifest = dict(json.loads((directory / MANIFEST_FILE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        manifest = {}
    write_manifest(directory / MANIFEST_FILE, manifest | {"erased": datetime.now(UTC).isoformat()})
    (directory / ROWS_FILE).unlink()


def dataset_directory(location: str) -> Path:
    """Return the directory of a dataset's location. Raises FileNotFoundError if it is not a local one."""
    url = urlsplit(location)
    if url.scheme not in ("", "file"):
        raise FileNotFoundError(location)
    return Path(unquote(url.path))
