"""Backfill of features by the Flink batch job, for rows without features of the task's current preprocess version."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from app.events import topics
from app.replay.duckdb_views import stream_batches
from app.replay.query import ReplayQuery
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Rejected

_BATCH_ROWS = 1_000
_BACKFILL_SCHEMA = pa.schema(
    [("position", pa.int64()), ("features", pa.binary()), ("tensors", pa.string()), ("code", pa.string())]
)

_CREATE_MISSING = """
CREATE TABLE missing AS
SELECT rowid AS "position", r_epoch, r_partition, r_offset
FROM rows WHERE f_offset IS NULL
"""
_SELECT_PAYLOADS = """
SELECT m."position", q.id, q.source, q.content_type, q.data, q.data_uri
FROM missing m JOIN log_requests q
ON (m.r_epoch, m.r_partition, m.r_offset) = (q.epoch, q."partition", q."offset") ORDER BY m."position"
"""
_UPDATE_ROWS = """
UPDATE rows SET tensors = b.tensors, code = b.code FROM backfilled b WHERE b."position" = rows.rowid
"""


def backfill_features(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    arguments: ReplayQuery,
    scratch: Path,
    progress: Callable[[str, int, int | None], None],
) -> None:
    """Create the table `backfilled`, with features by row position.

    Each backfilled row gets its tensors' declaration, or the code of the reason why it has none.
    """
    connection.execute(_CREATE_MISSING)
    connection.register("none", _BACKFILL_SCHEMA.empty_table())
    connection.execute("CREATE TABLE backfilled AS FROM none")
    [(total,)] = connection.execute("SELECT count(*) FROM missing").fetchall()
    if total:
        payloads_file = scratch / "payloads.jsonl"
        _export_payloads(connection, settings, payloads_file)
        done = 0
        progress("Backfilling features", done, total)
        results = _run_job(settings, arguments, payloads_file)
        while batch := list(islice(results, _BATCH_ROWS)):
            connection.register("batch", pa.Table.from_pylist(batch, _BACKFILL_SCHEMA))
            connection.execute("INSERT INTO backfilled FROM batch")
            done += len(batch)
            progress("Backfilling features", done, total)
        payloads_file.unlink()
        connection.execute(_UPDATE_ROWS)


def _export_payloads(connection: duckdb.DuckDBPyConnection, settings: Settings, payloads_file: Path) -> None:
    """Write the payloads for Flink, one JSON object per line."""
    blobs = blob_store(settings)
    with payloads_file.open("w") as file:
        for batch in stream_batches(connection, _SELECT_PAYLOADS, _BATCH_ROWS):
            for row in batch.to_pylist():
                value = row["data"]
                with suppress(Rejected):  # an erased blob: the job rejects an empty value
                    value = value if row["data_uri"] is None else blobs.get(row["data_uri"], settings.max_blob_bytes)
                headers = {"ce_id": row["id"], "ce_source": row["source"], "content-type": row["content_type"]}
                header_json = json.dumps({name: text for name, text in headers.items() if text is not None})
                encoded = base64.b64encode(value or b"").decode()
                file.write(json.dumps({"position": row["position"], "value": encoded, "headers": header_json}) + "\n")


def _run_job(settings: Settings, arguments: ReplayQuery, payloads_file: Path) -> Iterator[Mapping[str, Any]]:
    # Imported late, because it loads Flink.
    from app.preprocess.bounded_job import run_archive_job

    features_topic, predictions_topic = topics.features(arguments.task.name), topics.predictions(arguments.task.name)
    for position, topic, _, value, headers in run_archive_job(settings, arguments.task, payloads_file):
        if topic == features_topic:
            yield {"position": position, "features": value, "tensors": json.loads(headers)["ce_tensors"]}
        elif topic == predictions_topic:
            yield {"position": position, "code": json.loads(value)["error"]["code"]}
