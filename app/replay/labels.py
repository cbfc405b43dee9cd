"""Labels of a replay's predictions, aggregated from feedback by the same function as in the live recorder."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import duckdb
import pyarrow as pa

from app.events.decoding import decode, feedback_type
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.outcomes.label_aggregation import aggregate_feedback, score_model
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
        ("event_json", pa.string()),
        ("actor", pa.string()),
        ("is_retraction", pa.bool_()),
        ("retracts", pa.string()),
        ("retracts_source", pa.string()),
        ("disposition", pa.string()),
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
        ("rewards", pa.string()),
        ("position_rewards", pa.string()),
        ("reward_defaulted", pa.bool_()),
        ("score", pa.float64()),
        ("audit_answered", pa.bool_()),
        ("preferences", pa.string()),
    ]
)


def read_feedback(connection: duckdb.DuckDBPyConnection, task: Task) -> None:
    """Create the table `feedback`: each feedback event and retraction with its disposition."""
    with connection.cursor() as cursor:
        _create_table(cursor, "feedback", _FEEDBACK_SCHEMA, _feedback_rows(cursor, task))
        cursor.execute(mark_duplicates("feedback", "source, id, is_retraction"))
        cursor.execute(_MARK_RETRACTED)
        cursor.execute(_MARK_RETRACTIONS)


def aggregate_labels(connection: duckdb.DuckDBPyConnection, arguments: ReplayQuery) -> None:
    """Create the table `labels`: the labels and rewards of each prediction."""
    _create_table(connection, "labels", LABELS_SCHEMA, _label_rows(connection, arguments))
    task_settings = arguments.task_settings
    if task_settings.reward_window_seconds is not None:
        values = {
            "seconds": task_settings.reward_window_seconds,
            "as_of": arguments.as_of,
            "reward": task_settings.reward_default,
        }
        connection.execute(_INSERT_DEFAULT_REWARDS, values)


_SELECT_FEEDBACK = """
SELECT epoch, "partition", "offset", source, id, epoch_us("time"), epoch_us(logged), "type", data,
    extensions['replay'] IS NOT NULL
FROM log_feedback
"""
# The rule is that of `FeedbackRetracted.names`.
_MARK_RETRACTED = """
UPDATE feedback SET disposition = 'skipped:retracted' FROM feedback r
WHERE feedback.disposition IS NULL AND NOT feedback.is_retraction AND r.disposition IS NULL AND r.is_retraction
    AND (feedback.prediction_id, feedback.actor, feedback.id) = (r.prediction_id, r.actor, r.retracts)
    AND feedback.source = coalesce(r.retracts_source, feedback.source)
"""
_MARK_RETRACTIONS = "UPDATE feedback SET disposition = 'skipped:retraction' WHERE disposition IS NULL AND is_retraction"
_SELECT_JOINED_FEEDBACK = """
SELECT j.prediction_id, j.output, j.remembered, epoch_us(j.predicted), f.event_json, f.source, f.id, f."time", f.logged
FROM joined j JOIN feedback f USING (prediction_id) WHERE f.disposition IS NULL ORDER BY j.prediction_id
"""
_INSERT_DEFAULT_REWARDS = """
INSERT INTO labels (prediction_id, reward, reward_defaulted) SELECT prediction_id, $reward, TRUE
FROM joined ANTI JOIN labels USING (prediction_id)
WHERE remembered IS NULL AND predicted + to_microseconds(CAST($seconds * 1000000 AS BIGINT)) < $as_of
"""


def _feedback_rows(connection: duckdb.DuckDBPyConnection, task: Task) -> Iterator[tuple[Any, ...]]:
    for *position_and_identity, event_type, data, is_republished in _stream_rows(connection, _SELECT_FEEDBACK):
        event, disposition = _parse_feedback(task, event_type, data or b"", is_republished)
        reference = (
            (None, None, None)
            if event is None
            else (event.task_and_prediction[1], event.model_dump_json(), event.actor)
        )
        retraction = event if isinstance(event, FeedbackRetracted) else None
        names = (None, None) if retraction is None else (retraction.retracts, retraction.retracts_source)
        yield (*position_and_identity, *reference, retraction is not None, *names, disposition)


def _parse_feedback(
    task: Task, event_type: str | None, data: bytes, is_republished: bool
) -> tuple[FeedbackGiven | FeedbackRetracted | None, str | None]:
    """Return a record's feedback or retraction, or None and its disposition."""
    if is_republished:
        return None, "skipped:replay"
    try:
        if event_type is None:
            raise Rejected("bad_headers", "its headers break CloudEvents")
        # An application may publish feedback with its own event type.
        is_custom = not event_type.startswith("hindsight.")
        event = decode(feedback_type(event_type, data).type if is_custom else event_type, data)
        if not isinstance(event, FeedbackGiven | FeedbackRetracted) or event.task_and_prediction[0] != task.name:
            raise Rejected("unreadable", "it is not feedback on this task")
        if isinstance(event, FeedbackGiven):
            event.validated(task.validate_correction)
    except Rejected as error:
        return None, f"rejected:{error.code}"
    return event, None


def _label_rows(connection: duckdb.DuckDBPyConnection, arguments: ReplayQuery) -> Iterator[tuple[Any, ...]]:
    for prediction_id, group in groupby(_stream_rows(connection, _SELECT_JOINED_FEEDBACK), key=itemgetter(0)):
        rows = list(group)
        _, output, remembered, predicted_at, *_ = rows[0]
        feedback_events = [
            FeedbackEvent(
                FeedbackGiven.model_validate_json(event_json), source, id, _to_datetime(time), _to_datetime(logged)
            )
            for *_, event_json, source, id, time, logged in rows
        ]
        task, served, predicted = arguments.task, json.loads(remembered or output), _to_datetime(predicted_at)
        label = aggregate_feedback(task, arguments.task_settings, served, predicted, feedback_events, arguments.as_of)
        if remembered is not None:
            label = score_model(task, label, json.loads(output))
        yield prediction_id, *(getattr(label, name) for name in LABELS_SCHEMA.names[1:])


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
        columns = [
            pa.array(values, column_type)
            for values, column_type in zip(zip(*batch, strict=True), schema.types, strict=True)
        ]
        connection.register("batch", pa.Table.from_arrays(columns, schema=schema))
        connection.execute(f"INSERT INTO {table} FROM batch")
