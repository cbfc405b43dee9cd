"""Replay: from the log to a dataset, as it was known at a moment.

1. A snapshot of every topic: a version of the archive, and the tail that only Kafka has.
2. The fate of each record, and with it which rows there are (`fates`, `labels`).
3. Features that the log has not got in the task's present version are made again from the payloads (`remake`).
4. The rows, in the order of time and id, streamed with their features or payloads.
5. The count: all that was read is in a row, skipped or rejected.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from app import topics
from app.embedded.errors import SetupError
from app.eventlog import dataset, fates, labels, remake, scan, snapshot
from app.eventlog.arguments import Arguments
from app.eventlog.contents import Contents
from app.events import DataErased, OutcomeRecorded, PredictionFailed, PredictionMade
from app.settings import Settings

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done, and of how much, where that is known."""

BATCH_ROWS = 10_000
_KINDS = (topics.requests, topics.features, topics.predictions, topics.feedback, topics.outcomes)
_BEGIN = datetime(1, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, tzinfo=UTC)


def quiet(doing: str, done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


def replay(settings: Settings, arguments: Arguments, out: Path, progress: Progress = quiet) -> dict[str, Any]:
    """Write the dataset into the directory `out`, whole or not at all; its manifest.

    Raises `SetupError`; KafkaError without a broker.
    """
    with dataset.directory(out) as partial, TemporaryDirectory(dir=partial) as scratch:
        snapshots = asyncio.run(_snapshots(settings, arguments, Path(scratch), progress))
        with scan.opened(settings, snapshots, arguments.as_of, Path(scratch)) as connection:
            erasures = _erasures(connection)
            _decide(connection, settings, arguments, Path(scratch), progress)
            with dataset.Writer(partial / dataset.ROWS) as writer:
                missing: Counter[str] = Counter()
                for batch, codes in _rows(connection, settings, arguments, progress):
                    writer.write(batch)
                    missing += codes
            manifest = {
                "arguments": arguments.described(erasures),
                "content_hash": writer.content_hash,
                "rows": writer.rows,
                "splits": dict(connection.execute("SELECT split, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall()),
                "without_content": dict(sorted(missing.items())),
                "counts": _counted(connection, writer.rows),
                "read": _ranges(connection),
            }
        dataset.write_manifest(partial / dataset.MANIFEST, manifest)
    return manifest


def frame(settings: Settings, arguments: Arguments, progress: Progress = quiet) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The dataset as a frame of Polars, and its manifest: what `replay` writes into a directory."""
    with TemporaryDirectory() as directory:
        out = Path(directory) / "dataset"
        manifest = replay(settings, arguments, out, progress)
        return pl.read_parquet(out / dataset.ROWS), manifest


async def _snapshots(
    settings: Settings, arguments: Arguments, scratch: Path, progress: Progress
) -> dict[str, snapshot.Snapshot]:
    progress("Reading what Kafka alone has", 0, None)
    names = [*(kind(arguments.task.name) for kind in _KINDS), topics.LIFECYCLE]
    return await snapshot.take(settings, names, scratch)


def _erasures(connection: duckdb.DuckDBPyConnection) -> int:
    query = 'SELECT count(DISTINCT (source, id)) FROM log_lifecycle WHERE "type" = ?'
    return int(_one(connection.execute(query, [DataErased.type])))


def _decide(
    connection: duckdb.DuckDBPyConnection, settings: Settings, arguments: Arguments, scratch: Path, progress: Progress
) -> None:
    """Make the table `rows`, in which each row is."""
    values = {
        "made": PredictionMade.type,
        "failed": PredictionFailed.type,
        "recorded": OutcomeRecorded.type,
        "since": arguments.since or _BEGIN,
        "until": arguments.until or _END,
        "preprocess_version": arguments.task.preprocess_version,
    }
    for number, statement in enumerate(fates.BEFORE_LABELS):
        progress("Joining the log", number, len(fates.BEFORE_LABELS))
        connection.execute(statement, {name: value for name, value in values.items() if f"${name}" in statement})
    progress("Judging feedback", 0, None)
    labels.read(connection, arguments)
    connection.execute(fates.CANDIDATES)
    try:
        connection.execute(fates.ROWS.format(where=arguments.where or "TRUE"))
    except (duckdb.BinderException, duckdb.ParserException, duckdb.ConversionException) as error:
        raise SetupError(
            f"--where {arguments.where!r} is no condition: {str(error).splitlines()[0]}",
            "Write SQL on a row's columns, such as \"confidence < 0.9 AND version = '1'\".",
        ) from error
    if arguments.content == "features":
        remake.features(connection, settings, arguments, scratch, progress)


_WIDE = {
    "features": """
        SELECT r.*, coalesce(m.features, f.data) AS features, coalesce(m.tensors, f.tensors) AS tensors, m.code AS code,
            NULL::BLOB AS payload, f.data_uri, NULL AS content_type
        FROM rows r LEFT JOIN remade m USING (prediction_id) LEFT JOIN (
            SELECT epoch, "partition", "offset", data, data_uri, extensions['tensors'] AS tensors FROM log_features) f
        ON (r.f_epoch, r.f_partition, r.f_offset) = (f.epoch, f."partition", f."offset")""",
    "payload": """
        SELECT r.*, NULL::BLOB AS features, NULL::VARCHAR AS tensors, NULL AS code, q.data AS payload, q.data_uri,
            q.content_type
        FROM rows r JOIN log_requests q
        ON (r.r_epoch, r.r_partition, r.r_offset) = (q.epoch, q."partition", q."offset")""",
    "nothing": """
        SELECT *, NULL::BLOB AS features, NULL::VARCHAR AS tensors, NULL AS code, NULL::BLOB AS payload,
            NULL AS data_uri, NULL AS content_type
        FROM rows""",
}
_ORDER = 'ORDER BY "time", prediction_id'


def _rows(
    connection: duckdb.DuckDBPyConnection, settings: Settings, arguments: Arguments, progress: Progress
) -> Iterator[tuple[pa.RecordBatch, Counter[str]]]:
    """The rows, and of how many the content can't be had, and why."""
    [(total,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
    done = 0
    progress("Writing rows", done, total)
    contents = Contents(settings, arguments)
    for batch in scan.batches(connection, f"{_WIDE[arguments.content]} {_ORDER}", BATCH_ROWS):
        yield contents.filled(batch)
        done += batch.num_rows
        progress("Writing rows", done, total)


def _counted(connection: duckdb.DuckDBPyConnection, written: int) -> dict[str, dict[str, Any]]:
    """What became of the records of each topic. Raises AssertionError if one is unaccounted for."""
    counts: dict[str, dict[str, Any]] = {}
    for kind, query in fates.FATES.items():
        read = int(_one(connection.execute(f"SELECT count(*) FROM log_{kind}")))
        found = dict(connection.execute(f"SELECT fate, count(*) FROM ({query}) GROUP BY 1 ORDER BY 1").fetchall())
        counts[kind] = {
            "read": read,
            "rows": found.pop("row", 0),
            "skipped": {fate.partition(":")[2]: n for fate, n in found.items() if fate.startswith("skipped:")},
            "rejected": {fate.partition(":")[2]: n for fate, n in found.items() if fate.startswith("rejected:")},
        }
    check(counts, written)
    return counts


def check(counts: dict[str, dict[str, Any]], written: int) -> None:
    """The law of counts: of each topic read = rows + skipped + rejected, and each row is of one prediction and request.

    Raises AssertionError: a dataset that breaks it is never written.
    """
    for kind, count in counts.items():
        accounted = count["rows"] + sum(count["skipped"].values()) + sum(count["rejected"].values())
        if count["read"] != accounted:
            raise AssertionError(f"{kind}: {count['read']} records were read, {accounted} are accounted for: {count}")
    for kind in ("predictions", "requests"):
        if counts[kind]["rows"] != written:
            raise AssertionError(f"{written} rows were written of {counts[kind]['rows']} {kind}")


def _ranges(connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """The offsets that were really read, of each topic's partitions."""
    ranges: dict[str, list[dict[str, Any]]] = {}
    for kind in (*fates.FATES, "outcomes"):
        found = connection.execute(
            'SELECT topic, epoch, "partition", min("offset"), max("offset"), count(*) '
            f"FROM log_{kind} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for topic, epoch, partition, first, last, count in found:
            ranges.setdefault(topic, []).append(
                {"epoch": epoch, "partition": partition, "first": first, "last": last, "records": count}
            )
    return ranges


def _one(result: duckdb.DuckDBPyConnection) -> Any:
    row = result.fetchone()
    assert row is not None
    return row[0]
