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
from app.outcomes.label_aggregation import weighed
from app.outcomes.prediction_history import Said
from app.replay.disposition import repeated
from app.replay.duckdb_views import batches
from app.replay.query import Arguments
from models.base import Rejected, Task

_BATCH = 10_000
_EPOCH = datetime.fromtimestamp(0, UTC)

_FEEDBACK = pa.schema(
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
LABELS = pa.schema(
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


def read(connection: duckdb.DuckDBPyConnection, task: Task) -> None:
    """Make the table `feedback`: each event with its fate."""
    with connection.cursor() as cursor:
        _fill(cursor, "feedback", _FEEDBACK, _feedback(cursor, task))
        cursor.execute(repeated("feedback", "source, id"))


def judge(connection: duckdb.DuckDBPyConnection, arguments: Arguments) -> None:
    """Make the table `labels`: what is known of each prediction."""
    _fill(connection, "labels", LABELS, _labels(connection, arguments))
    rules = arguments.rules
    if rules.reward_window_seconds is not None:
        values = {"seconds": rules.reward_window_seconds, "as_of": arguments.as_of, "reward": rules.reward_default}
        connection.execute(_DEFAULTS, values)


_READ = """
SELECT epoch, "partition", "offset", source, id, epoch_us("time"), epoch_us(logged), "type", data,
    extensions['replay'] IS NOT NULL
FROM log_feedback
"""
_SAID = """
SELECT j.prediction_id, j.output, epoch_us(j.predicted), f.given, f.source, f.id, f."time", f.logged
FROM joined j JOIN feedback f USING (prediction_id) WHERE f.fate IS NULL ORDER BY j.prediction_id
"""
_DEFAULTS = """
INSERT INTO labels (prediction_id, reward, reward_defaulted) SELECT prediction_id, $reward, TRUE
FROM joined ANTI JOIN labels USING (prediction_id)
WHERE predicted + to_microseconds(CAST($seconds * 1000000 AS BIGINT)) < $as_of
"""


def _feedback(connection: duckdb.DuckDBPyConnection, task: Task) -> Iterator[tuple[Any, ...]]:
    for *place_and_identity, kind, data, marked in _stream(connection, _READ):
        given, fate = _given(task, kind, data or b"", marked)
        said = (None, None) if given is None else (given.about[1], given.model_dump_json())
        yield (*place_and_identity, *said, fate)


def _given(task: Task, kind: str | None, data: bytes, marked: bool) -> tuple[FeedbackGiven | None, str | None]:
    """What a record says; or nothing, and its fate."""
    if marked:
        return None, "skipped:replay"
    try:
        if kind is None:
            raise Rejected("bad_headers", "its headers break CloudEvents")
        # An application may call its feedback by a type of its own.
        given = decode(kind if kind.startswith("hindsight.") else FeedbackGiven.type, data)
        if not isinstance(given, FeedbackGiven) or given.about[0] != task.name:
            raise Rejected("unreadable", "no feedback of this task")
        if given.correction is not None:
            task.validate_correction(given.correction)
    except Rejected as error:
        return None, f"rejected:{error.code}"
    return given, None


def _labels(connection: duckdb.DuckDBPyConnection, arguments: Arguments) -> Iterator[tuple[Any, ...]]:
    for prediction_id, group in groupby(_stream(connection, _SAID), key=itemgetter(0)):
        rows = list(group)
        output, predicted = json.loads(rows[0][1]), _moment(rows[0][2])
        said = [
            Said(FeedbackGiven.model_validate_json(given), source, id, _moment(time), _moment(logged))
            for *_, given, source, id, time, logged in rows
        ]
        verdict = weighed(arguments.task, arguments.rules, output, predicted, said, arguments.as_of)
        yield prediction_id, *(getattr(verdict, name) for name in LABELS.names[1:])


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _stream(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    for batch in batches(connection, query, _BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _fill(
    connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, rows: Iterator[tuple[Any, ...]]
) -> None:
    connection.register("empty", schema.empty_table())
    connection.execute(f"CREATE TABLE {table} AS FROM empty")
    while batch := list(islice(rows, _BATCH)):
        columns = [pa.array(values, kind) for values, kind in zip(zip(*batch, strict=True), schema.types, strict=True)]
        connection.register("batch", pa.Table.from_arrays(columns, schema=schema))
        connection.execute(f"INSERT INTO {table} FROM batch")
