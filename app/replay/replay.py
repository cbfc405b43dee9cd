"""Replay: from the log to a dataset, as it was known at a moment.

1. A snapshot of every topic: a version of the archive, and the tail that only Kafka has.
2. The fate of each record, and with it which rows there are (`fates`, `labels`).
3. Features that the log has not got in the task's present version are made again from the payloads (`remake`).
4. The rows, in the order of time and id, streamed with their features or payloads.
5. The count: all that was read is in a row, skipped or rejected.
"""

import asyncio
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from app.errors import SetupError
from app.events import topics
from app.events.cloudevents import Record, format_rfc3339
from app.events.model_events import DatasetBuilt
from app.kafka.producers import publish_all
from app.replay import backfill, dataset, duckdb_views, reconciliation
from app.replay.content_loader import ContentLoader
from app.replay.query import ReplayQuery
from app.replay.selection import ReplayProgress, count_erasures, open_selection
from app.replay.spool import ContentSpool
from app.settings import Settings

BATCH_ROWS = 10_000


def no_progress(doing: str, done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


def replay(
    settings: Settings,
    arguments: ReplayQuery,
    out: Path,
    progress: ReplayProgress = no_progress,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Write the dataset into the directory `out`, whole or not at all; its manifest. It may be for a retraining run.

    Raises `SetupError`; KafkaError without a broker.
    """
    with dataset.create_atomically(out) as partial:
        manifest = _build(settings, arguments, partial, progress)
        # Before the directory gets its name: no dataset is on disk that an erasure would not find.
        asyncio.run(publish_all(settings, [_dataset_event(arguments, out, manifest, run_id)]))
    # An erasure that ended before that event has not seen it; one that ends later looks for datasets once more.
    if count_erasures(settings) != manifest["arguments"]["erasures"]:
        shutil.rmtree(out)
        raise SetupError(
            "A person's data was erased while the dataset was made: it may be in it, and was thrown away.",
            "Run the command again.",
        )
    return manifest


def read_dataframe(
    settings: Settings, arguments: ReplayQuery, progress: ReplayProgress = no_progress
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The dataset as a frame of Polars, and its manifest: what `replay` writes into a directory."""
    with temporary_dataset(settings, arguments, progress) as (directory, manifest):
        return pl.read_parquet(directory / dataset.ROWS_FILE), manifest


@contextmanager
def temporary_dataset(
    settings: Settings, arguments: ReplayQuery, progress: ReplayProgress = no_progress
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The directory of a dataset that is gone after the block, and its manifest. Raises as `replay`."""
    with TemporaryDirectory() as directory:
        yield Path(directory), _build(settings, arguments, Path(directory), progress)


def _build(settings: Settings, arguments: ReplayQuery, directory: Path, progress: ReplayProgress) -> dict[str, Any]:
    """Write the rows and the manifest into an empty directory."""
    known = count_erasures(settings)
    with (
        TemporaryDirectory(dir=directory) as scratch,
        open_selection(settings, arguments, Path(scratch), progress) as connection,
    ):
        if arguments.content == "features":
            backfill.backfill_features(connection, settings, arguments, Path(scratch), progress)
        with dataset.DatasetWriter(directory / dataset.ROWS_FILE) as writer:
            missing: Counter[str] = Counter()
            for batch, codes in _rows(connection, settings, arguments, Path(scratch), progress):
                writer.write(batch)
                missing += codes
        manifest = {
            "arguments": arguments.to_manifest(known),
            "content_hash": writer.content_hash,
            "rows": writer.rows,
            "splits": dict(connection.execute("SELECT split, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall()),
            "without_content": dict(sorted(missing.items())),
            "counts": reconciliation.reconcile(connection, writer.rows),
            "read": reconciliation.read_offset_ranges(connection),
        }
    dataset.write_manifest(directory / dataset.MANIFEST_FILE, manifest)
    return manifest


def _dataset_event(arguments: ReplayQuery, out: Path, manifest: dict[str, Any], run_id: str | None) -> Record:
    location, task = out.resolve().as_uri(), arguments.task.name
    built = DatasetBuilt(
        task=task,
        content_hash=manifest["content_hash"],
        location=location,
        rows=manifest["rows"],
        manifest=manifest,
        run_id=run_id,
    )
    now = datetime.now(UTC)
    unique = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{manifest['content_hash']}/{location}/{now.isoformat()}"))
    return built.to_record(
        topics.LIFECYCLE,
        task.encode(),
        id=unique,
        source="hindsight/replay",
        time=format_rfc3339(now.timestamp() * 1000),
    )


_SELECT_ROWS = 'SELECT * EXCLUDE (tensors), rowid AS "position", {columns} FROM rows'
_CONTENT_COLUMNS = {
    "features": "f_data_uri AS data_uri, tensors",
    "payload": "r_data_uri AS data_uri, NULL::VARCHAR AS tensors",
    "nothing": "NULL::VARCHAR AS data_uri, NULL::VARCHAR AS tensors",
}


def _rows(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    arguments: ReplayQuery,
    scratch: Path,
    progress: ReplayProgress,
) -> Iterator[tuple[pa.RecordBatch, Counter[str]]]:
    """The rows, and of how many the content can't be had, and why."""
    [(total,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
    progress("Reading contents", 0, None)
    with closing(ContentSpool(scratch / "contents", connection, arguments.content)) as spool:
        done = 0
        progress("Writing rows", done, total)
        contents = ContentLoader(settings, arguments)
        for batch in duckdb_views.stream_batches(
            connection, _SELECT_ROWS.format(columns=_CONTENT_COLUMNS[arguments.content]), BATCH_ROWS
        ):
            for part in spool.attach_contents(batch):
                yield contents.fill(part)
                done += part.num_rows
                progress("Writing rows", done, total)
