"""DuckDB over snapshots of the log: each topic as a view of its archive and its tail."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from app.errors import SetupError
from app.eventlog.archive import Archive
from app.eventlog.schema import SCHEMA
from app.eventlog.snapshot import Snapshot
from app.settings import Settings
from app.storage.delta import storage_options

MAX_THREADS = 4
"""Each thread holds a row group in memory."""
MEMORY_LIMIT = "400MB"
"""DuckDB's memory limit; above it, DuckDB spills to disk."""

_COLUMNS = ", ".join(f'"{name}"' for name in SCHEMA.names if name not in ("day", "epoch"))


class _ArchiveFileSystem(ArrowFSWrapper):  # type: ignore[misc]  # fsspec has no types
    """The archive's files for DuckDB, on any blob storage: `archive://<topic>/<file>`."""

    protocol = "archive"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("archive://").lstrip("/")


@contextmanager
def open_views(
    settings: Settings, snapshots: Mapping[str, Snapshot], as_of: datetime, scratch: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with a view of each topic, `log_<kind>`, as the log was at `as_of`.

    Raises `SetupError` for unreadable files and for a full disk.
    """
    archive = Archive(settings)
    connection = duckdb.connect()
    try:
        connection.execute(
            f"SET memory_limit = '{MEMORY_LIMIT}'; SET TimeZone = 'UTC'; SET preserve_insertion_order = FALSE"
        )
        connection.execute(f"SET temp_directory = {_sql_literal(scratch / 'spill')}")
        connection.execute(f"SET threads = {min(MAX_THREADS, os.cpu_count() or 1)}")
        connection.execute("SET enable_external_file_cache = FALSE")  # each file is read once
        is_remote = not settings.blob_store_url.startswith("file://")
        if is_remote:
            handler = DeltaStorageHandler(archive.uri(""), storage_options(settings))
            connection.register_filesystem(_ArchiveFileSystem(fs.PyFileSystem(handler)))
        logged_condition = f"logged <= TIMESTAMPTZ '{as_of.isoformat()}'"
        empty = scratch / "empty.parquet"
        pq.write_table(SCHEMA.empty_table(), empty)
        files = {
            topic: [str(empty), *map(str, snapshot.tail_files), *_files(archive, topic, snapshot)]
            for topic, snapshot in snapshots.items()
        }
        all_files = _read_parquet([file for topic_files in files.values() for file in topic_files])
        # All rows of a topic have the same long text here: an enum compares faster, and in the same order.
        connection.execute(f"CREATE TYPE epochs AS ENUM (SELECT DISTINCT epoch FROM {all_files} ORDER BY epoch)")
        for topic, topic_files in files.items():
            connection.execute(
                f"CREATE VIEW log_{topic_kind(topic)} AS SELECT CAST(epoch AS epochs) AS epoch, {_COLUMNS} "
                f"FROM {_read_parquet(topic_files)} WHERE {logged_condition}"
            )
        yield connection
    except duckdb.Error as error:
        raise _translate_error(archive, snapshots, error) from error
    finally:
        if is_remote:
            connection.unregister_filesystem(_ArchiveFileSystem.protocol)
        connection.close()


def stream_batches(connection: duckdb.DuckDBPyConnection, query: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the result of a query in batches. The connection may run other queries meanwhile."""
    with connection.cursor() as cursor:
        reader = cursor.sql(query).to_arrow_reader(rows)
        try:
            yield from reader
        except (pa.ArrowException, OSError) as error:  # an error of DuckDB while it streamed
            raise duckdb.Error(str(error)) from error


def _files(archive: Archive, topic: str, snapshot: Snapshot) -> list[str]:
    """Return the files of a table for DuckDB. `file_uris` would return paths quoted like URIs."""
    if snapshot.table is None:
        return []
    directory = archive.directory(topic) or f"archive://{topic}"
    return [f"{directory}/{path}" for path in snapshot.table.to_pyarrow_dataset().files]


def _read_parquet(files: Iterable[str]) -> str:
    return f"read_parquet([{', '.join(map(_sql_literal, files))}], union_by_name = TRUE, hive_partitioning = FALSE)"


def topic_kind(topic: str) -> str:
    """Return the name of a topic's view and table: `requests` for `ocr.requests`."""
    return topic.rpartition(".")[2].replace("-", "_")


def _translate_error(archive: Archive, snapshots: Mapping[str, Snapshot], error: duckdb.Error) -> Exception:
    text = str(error)
    if "No space left" in text or "disk" in text.lower():
        return SetupError(f"The disk is full: {text.splitlines()[0]}", "Free some space where the dataset is written.")
    for topic in snapshots:
        if f"/{topic}/" in text:
            try:
                with archive.diagnose_errors(topic):
                    raise OSError(text.splitlines()[0])
            except SetupError as setup_error:
                return setup_error
    return error


def _sql_literal(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"
