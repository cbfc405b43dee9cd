"""Replay: a point-in-time dataset from the log.

1. Take a snapshot of every topic: a version of its archive table, and the tail that only Kafka has.
2. Determine the disposition of each record, and with it the rows (`disposition`, `labels`).
3. Backfill features that the log lacks in the task's current preprocess version (`backfill`).
4. Stream the rows with their features or payloads, ordered by time and id.
5. Reconcile: every record that was read is in a row, skipped or rejected.
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
from app.settings.namespace import qualify

BATCH_ROWS = 10_000


def no_progress(doing: str, done: int, total: int | None) -> None:
    """Ignore progress."""


def replay(
    settings: Settings,
    arguments: ReplayQuery,
    out: Path,
    progress: ReplayProgress = no_progress,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Write the dataset into the directory `out`, completely or not at all; return its manifest.

    `run_id` names the retraining run that the dataset is for. Raises `SetupError`; KafkaError without a broker.
    """
    with dataset.create_atomically(out) as partial:
        manifest = _build(settings, arguments, partial, progress)
        # Before the directory gets its name: an erasure finds every dataset on disk by its event.
        asyncio.run(publish_all(settings, [_dataset_event(arguments, out, manifest, run_id)]))
    # An erasure that ended before this event did not see it; one that ends later searches for datasets again.
    if count_erasures(settings) != manifest["arguments"]["erasures"]:
        shutil.rmtree(out)
        raise SetupError(
            "A person's data was erased while the dataset was made: the dataset may contain it, and was deleted.",
            "Run the command again.",
        )
    return manifest


def read_dataframe(
    settings: Settings, arguments: ReplayQuery, progress: ReplayProgress = no_progress
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the dataset as a Polars frame, and its manifest."""
    with temporary_dataset(settings, arguments, progress) as (directory, manifest):
        return pl.read_parquet(directory / dataset.ROWS_FILE), manifest


@contextmanager
def temporary_dataset(
    settings: Settings, arguments: ReplayQuery, progress: ReplayProgress = no_progress
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the directory of a dataset, which is deleted after the block, and its manifest. Raises as `replay`."""
    with TemporaryDirectory() as directory:
        yield Path(directory), _build(settings, arguments, Path(directory), progress)


def _build(settings: Settings, arguments: ReplayQuery, directory: Path, progress: ReplayProgress) -> dict[str, Any]:
    """Write the rows and the manifest into an empty directory; return the manifest."""
    erasures = count_erasures(settings)
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
            "arguments": arguments.to_manifest(erasures),
            "content_hash": writer.content_hash,
            "rows": writer.rows,
            "requests": _request_times(connection),
            "splits": dict(connection.execute("SELECT split, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall()),
            "without_content": dict(sorted(missing.items())),
            "counts": reconciliation.reconcile(connection, writer.rows),
            "read": reconciliation.read_offset_ranges(connection),
        }
    dataset.write_manifest(directory / dataset.MANIFEST_FILE, manifest)
    return manifest


def _request_times(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """Return the times of the first and the last request in the log, of any range; null if there is none."""
    [times] = connection.execute('SELECT epoch_us(min("time")), epoch_us(max("time")) FROM requests').fetchall()
    texts = (None if time is None else datetime.fromtimestamp(time / 1e6, UTC).isoformat() for time in times)
    return dict(zip(("first", "last"), texts, strict=True))


def _dataset_event(arguments: ReplayQuery, out: Path, manifest: dict[str, Any], run_id: str | None) -> Record:
    location, task = out.resolve().as_uri(), arguments.task.name
    dataset_built = DatasetBuilt(
        task=task,
        content_hash=manifest["content_hash"],
        location=location,
        rows=manifest["rows"],
        manifest=manifest,
        run_id=run_id,
    )
    now = datetime.now(UTC)
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{manifest['content_hash']}/{location}/{now.isoformat()}"))
    return dataset_built.to_record(
        topics.LIFECYCLE,
        task.encode(),
        id=event_id,
        source=qualify("hindsight/replay"),
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
    """Yield batches of rows, with the number of rows without content by reason."""
    [(total,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
    progress("Reading contents", 0, None)
    with closing(ContentSpool(scratch / "contents", connection, arguments.content)) as spool:
        done = 0
        progress("Writing rows", done, total)
        content_loader = ContentLoader(settings, arguments)
        for batch in duckdb_views.stream_batches(
            connection, _SELECT_ROWS.format(columns=_CONTENT_COLUMNS[arguments.content]), BATCH_ROWS
        ):
            for part in spool.attach_contents(batch):
                yield content_loader.fill(part)
                done += part.num_rows
                progress("Writing rows", done, total)
