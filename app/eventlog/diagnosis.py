"""Diagnosis of archive tables that can't be read: a `SetupError` names the damaged file and the remedy.

Open and read a table inside `with Archive.diagnose_errors(topic): ...`, and do nothing else there: every OSError inside
is attributed to the table.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from app.errors import SetupError
from app.eventlog.schema import SCHEMA
from app.settings import Settings
from app.storage.delta import storage_options

_DELTA_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_PARQUET = re.compile(r"day=[^\s'\"]+?\.parquet")
_ANSI_COLOURS = re.compile(r"\x1b\[\d+m")
_UPGRADE = "A newer Hindsight wrote it: upgrade this one."


@contextmanager
def diagnose_errors(settings: Settings, topic: str, uri: str) -> Iterator[None]:
    """Raise `SetupError` instead of the errors of pyarrow and deltalake inside the block."""
    try:
        yield
    except CommitFailedError:  # another writer committed first: the table is intact
        raise
    except (DeltaError, pa.ArrowException, OSError) as error:
        raise _diagnose(settings, topic, uri, error) from error


def check_schema(topic: str, table: DeltaTable) -> None:
    """Raises `SetupError` if the table has other columns than this version of Hindsight."""
    table_fields = {field.name: field for field in table.schema().fields}
    expected_fields = {field.name: field for field in Schema.from_arrow(SCHEMA).fields}
    if differences := [
        name for name in expected_fields | table_fields if expected_fields.get(name) != table_fields.get(name)
    ]:
        raise SetupError(
            f"The archive of {topic} at {table.table_uri} has unexpected columns: {', '.join(differences)}.",
            _UPGRADE,
        )


def summarize_error(error: BaseException) -> str:
    """Return the error on one line, without backtraces of libraries."""
    lines = [line.strip(" ↳") for line in _ANSI_COLOURS.sub("", str(error)).splitlines()]
    messages = [line for line in lines if line and not re.match(r"(\d+: |at \./|Help: )", line)]
    return ": ".join(messages)[:500].rstrip(".") or type(error).__name__


def _diagnose(settings: Settings, topic: str, uri: str, error: Exception) -> SetupError:
    subject = f"The archive of {topic} at {uri}"
    if "Unsupported" in str(error):
        return SetupError(f"{subject} can't be read: {summarize_error(error)}.", _UPGRADE)
    try:
        damaged, replaced = _find_damaged_file(settings, uri, error)
    except (DeltaError, OSError):
        damaged, replaced = None, False
    if damaged is None:
        return SetupError(
            f"{subject} can't be reached: {summarize_error(error)}.", "Check that the storage is reachable."
        )
    if replaced:
        return SetupError(
            f"{subject}: {damaged} was replaced while it was read.", "Start again: reading took more than a day."
        )
    return SetupError(
        f"{subject} is damaged: {uri}/{damaged}: {summarize_error(error)}.",
        f"Restore this file from a backup. Without one, move {uri} away: the records of {topic} that Kafka still holds "
        "are then archived again.",
    )


def _find_damaged_file(settings: Settings, uri: str, error: Exception) -> tuple[str | None, bool]:
    """Return the damaged file, if any, and whether the table no longer needs it. Raises the storage's errors."""
    options = storage_options(settings)
    files = fs.PyFileSystem(DeltaStorageHandler(uri, options))
    if (commit := _find_damaged_commit(files)) is not None:
        return commit, False
    try:
        needed_files: list[str] = DeltaTable(uri, storage_options=options).to_pyarrow_dataset().files
    except DeltaError as delta_error:
        if "Generic " in str(delta_error):  # "Generic S3 error": an error of the storage
            raise
        return f"{_DELTA_LOG}, its last checkpoint", False
    if file_name := _PARQUET.search(str(error)):
        needed_files = [path for path in needed_files if path == file_name[0]]
        if not needed_files:
            return file_name[0], True
    damaged = next((path for path in needed_files if not _is_intact(files, path)), None)
    files.get_file_info(fs.FileSelector(_DELTA_LOG))  # raises if the storage is unreachable
    return damaged, False


def _find_damaged_commit(files: fs.FileSystem) -> str | None:
    """Return the first commit since the last checkpoint that is missing or not JSON."""
    names = [info.base_name for info in files.get_file_info(fs.FileSelector(_DELTA_LOG))]
    checkpoints = [int(name[:20]) for name in names if re.match(r"\d{20}\.checkpoint", name)]
    checkpoint = max(checkpoints, default=-1)
    versions = [
        checkpoint,
        *sorted(int(match[1]) for name in names if (match := _COMMIT.fullmatch(name)) and int(match[1]) > checkpoint),
    ]
    for previous, version in pairwise(versions):
        if version != previous + 1:
            return f"{_DELTA_LOG}/{previous + 1:020}.json"
        path = f"{_DELTA_LOG}/{version:020}.json"
        with files.open_input_stream(path) as stream:
            try:
                [json.loads(line) for line in stream.read().splitlines()]
            except ValueError:
                return path
    return None


def _is_intact(files: fs.FileSystem, path: str) -> bool:
    try:
        with files.open_input_file(path) as file, pq.ParquetFile(file) as parquet:
            for _ in parquet.iter_batches():
                pass
    except (pa.ArrowException, OSError):
        return False
    return True
