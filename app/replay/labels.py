"""What was said of the predictions of a replay, judged by the function that judges live."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import duckdb
import pyarrow as pa

from app.events.decoding import decode
from app.events.types import FeedbackGiven
from app.outcomes.label_aggregation import aggregate_feedback
from app.outcomes.prediction_history import FeedbackEvent
from app.replay.disposition import mark_duplicates
from app.replay.duckdb_views import stream_batches
from app.replay.query import ReplayQuery
from models.base import Rejected, Task

_BATCH_ROWS = 10_000
_EPOCH = datetime.fromtimestamp(0, UTC)

_FEEDBACK_SCHEMA = pa.schema(
    [
        ("epoch", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("source", pa.string()),
        ("id", pa.string()),
        ("time", pa.int64()),
        ("logged", pa.int64()),
        ("prediction_id", pa.string()),
        ("given", pa.string()),
        ("fate", pa.string()),
    ]
)
LABELS_SCHEMA = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("label", pa.string()),
        ("actors", pa.list_(pa.string())),
        ("contradicted", pa.bool_()),
        ("accepted", pa.bool_()),
        ("reward", pa.float64()),
        ("reward_defaulted", pa.bool_()),
        ("score", pa.float64()),
    ]
)


def read_feedback(connection: duckdb.DuckDBPyConnection, task: Task) -> None:
    """Make the table `feedback`: each event with its fate."""
    with connection.cursor() as cursor:
        _create_table(cursor, "feedback", _FEEDBACK_SCHEMA, _feedback_rows(cursor, task))
        cursor.execute(mark_duplicates("feedback", "source, id"))


def aggregate_labels(connection: duckdb.DuckDBPyConnection, arguments: ReplayQuery) -> None:
    """Make the table `labels`: what is known of each prediction."""
    _create_table(connection, "labels", LABELS_SCHEMA, _label_rows(connection, arguments))
    rules = arguments.task_settings
    if rules.reward_window_seconds is not None:
        values = {"seconds": rules.reward_window_seconds, "as_of": arguments.as_of, "reward": rules.reward_default}
        connection.execute(_INSERT_DEFAULT_REWARDS, values)


_SELECT_FEEDBACK = """
SELECT epoch, "partition", "offset", source, id, epoch_us("time"), epoch_us(logged), "type", data,
    extensions['replay'] IS NOT NULL
FROM log_feedback
"""
_SELECT_JOINED_FEEDBACK = """
SELECT j.prediction_id, j.output, epoch_us(j.predicted), f.given, f.source, f.id, f."time", f.logged
FROM joined j JOIN feedback f USING (prediction_id) WHERE f.fate IS NULL ORDER BY j.prediction_id
"""
_INSERT_DEFAULT_REWARDS = """
INSERT INTO labels (prediction_id, reward, reward_defaulted) SELECT prediction_id, $reward, TRUE
FROM joined ANTI JOIN labels USING (prediction_id)
WHERE predicted + to_microseconds(CAST($seconds * 1000000 AS BIGINT)) < $as_of
"""


def _feedback_rows(connection: duckdb.DuckDBPyConnection, task: Task) -> Iterator[tuple[Any, ...]]:
    for *place_and_identity, kind, data, marked in _stream_rows(connection, _SELECT_FEEDBACK):
        given, fate = _parse_feedback(task, kind, data or b"", marked)
        said = (None, None) if given is None else (given.task_and_prediction[1], given.model_dump_json())
        yield (*place_and_identity, *said, fate)


def _parse_feedback(task: Task, kind: str | None, data: bytes, marked: bool) -> tuple[FeedbackGiven | None, str | None]:
    """What a record says; or nothing, and its fate."""
    if marked:
        return None, "skipped:replay"
    try:
        if kind is None:
            raise Rejected("bad_headers", "its headers break CloudEvents")
        # An application may call its feedback by a type of its own.
        given = decode(kind if kind.startswith("hindsight.") else FeedbackGiven.type, data)
        if not isinstance(given, FeedbackGiven) or given.task_and_prediction[0] != task.name:
            raise Rejected("unreadable", "no feedback of this task")
        if given.correction is not None:
            task.validate_correction(given.correction)
    except Rejected as error:
        return None, f"rejected:{error.code}"
    return given, None


def _label_rows(connection: duckdb.DuckDBPyConnection, arguments: ReplayQuery) -> Iterator[tuple[Any, ...]]:
    for prediction_id, group in groupby(_stream_rows(connection, _SELECT_JOINED_FEEDBACK), key=itemgetter(0)):
        rows = list(group)
        output, predicted = json.loads(rows[0][1]), _to_datetime(rows[0][2])
        said = [
            FeedbackEvent(
                FeedbackGiven.model_validate_json(given), source, id, _to_datetime(time), _to_datetime(logged)
            )
            for *_, given, source, id, time, logged in rows
        ]
        verdict = aggregate_feedback(arguments.task, arguments.task_settings, output, predicted, said, arguments.as_of)
        yield prediction_id, *(getattr(verdict, name) for name in LABELS_SCHEMA.names[1:])


def _to_datetime(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _stream_rows(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    for batch in stream_batches(connection, query, _BATCH_ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _create_table(
    connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, rows: Iterator[tuple[Any, ...]]
) -> None:
    connection.register("empty", schema.empty_table())
    connection.execute(f"CREATE TABLE {table} AS FROM empty")
    while batch := list(islice(rows, _BATCH_ROWS)):
        columns = [pa.array(values, kind) for values, kind in zip(zip(*batch, strict=True), schema.types, strict=True)]
        connection.register("batch", pa.Table.from_arrays(columns, schema=schema))
        connection.execute(f"INSERT INTO {table} FROM batch")
