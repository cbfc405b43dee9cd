"""What is wrong with a table of the archive that can't be read: a `SetupError` names the file and the remedy.

Whoever opens or reads a table does so inside `with Archive.readable(topic): ...`; nothing else belongs in there, for
every OSError inside it is taken for the table's.
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
    """Raises `SetupError` in place of what pyarrow and deltalake raise inside the block."""
    try:
        yield
    except CommitFailedError:  # another writer was faster: nothing is wrong
        raise
    except (DeltaError, pa.ArrowException, OSError) as error:
        raise _diagnose(settings, topic, uri, error) from error


def check_schema(topic: str, table: DeltaTable) -> None:
    """Raises `SetupError` for a table with other columns than this version of Hindsight knows."""
    found = {field.name: field for field in table.schema().fields}
    known = {field.name: field for field in Schema.from_arrow(SCHEMA).fields}
    if different := [name for name in known | found if known.get(name) != found.get(name)]:
        raise SetupError(
            f"The archive of {topic} at {table.table_uri} has other columns than are known: {', '.join(different)}.",
            _UPGRADE,
        )


def summarize_error(error: BaseException) -> str:
    """What went wrong, on one line, without the backtraces of libraries."""
    lines = [line.strip(" ↳") for line in _ANSI_COLOURS.sub("", str(error)).splitlines()]
    kept = [line for line in lines if line and not re.match(r"(\d+: |at \./|Help: )", line)]
    return ": ".join(kept)[:500].rstrip(".") or type(error).__name__


def _diagnose(settings: Settings, topic: str, uri: str, error: Exception) -> SetupError:
    where = f"The archive of {topic} at {uri}"
    if "Unsupported" in str(error):
        return SetupError(f"{where} can't be read: {summarize_error(error)}.", _UPGRADE)
    try:
        damaged, replaced = _find_damaged_file(settings, uri, error)
    except (DeltaError, OSError):
        damaged, replaced = None, False
    if damaged is None:
        return SetupError(f"{where} can't be reached: {summarize_error(error)}.", "Is the storage that holds it there?")
    if replaced:
        return SetupError(
            f"{where}: {damaged} was replaced since it was looked for.", "Begin again: reading took more than a day."
        )
    return SetupError(
        f"{where} is damaged: {uri}/{damaged}: {summarize_error(error)}.",
        f"Restore this file from a backup. Without one, move {uri} away: what Kafka still holds of {topic} is then "
        "archived anew.",
    )


def _find_damaged_file(settings: Settings, uri: str, error: Exception) -> tuple[str | None, bool]:
    """The file at fault, if there is one, and whether the table no longer needs it. Raises what the storage raises."""
    options = storage_options(settings)
    files = fs.PyFileSystem(DeltaStorageHandler(uri, options))
    if (commit := _find_damaged_commit(files)) is not None:
        return commit, False
    try:
        needed: list[str] = DeltaTable(uri, storage_options=options).to_pyarrow_dataset().files
    except DeltaError as again:
        if "Generic " in str(again):  # "Generic S3 error": what the storage said
            raise
        return f"{_DELTA_LOG}, its last checkpoint", False
    if named := _PARQUET.search(str(error)):
        needed = [path for path in needed if path == named[0]]
        if not needed:
            return named[0], True
    unsound = next((path for path in needed if not _is_intact(files, path)), None)
    files.get_file_info(fs.FileSelector(_DELTA_LOG))  # it was the file, and not the storage that had gone
    return unsound, False


def _find_damaged_commit(files: fs.FileSystem) -> str | None:
    """The first commit that is missing or no JSON, of those since the last checkpoint."""
    names = [info.base_name for info in files.get_file_info(fs.FileSelector(_DELTA_LOG))]
    checkpoints = [int(name[:20]) for name in names if re.match(r"\d{20}\.checkpoint", name)]
    begin = max(checkpoints, default=-1)
    versions = [begin, *sorted(int(m[1]) for name in names if (m := _COMMIT.fullmatch(name)) and int(m[1]) > begin)]
    for before, version in pairwise(versions):
        if version != before + 1:
            return f"{_DELTA_LOG}/{before + 1:020}.json"
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
