"""What was said of the predictions of a replay, judged by the function that judges live."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Any

import duckdb
import pyarrow as pa

from app.eventlog.arguments import Arguments
from app.eventlog.joined import Joined, Said, Served
from app.eventlog.outcomes import canonical, judge
from app.eventlog.scan import batches
from app.events import FeedbackGiven, ModelRef, PredictionMade, decode
from models.base import Rejected, Task

_BATCH = 10_000
_EPOCH = datetime.fromtimestamp(0, UTC)

_FEEDBACK = pa.schema(
    [
        ("epoch", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("prediction_id", pa.string()),
        ("given", pa.string()),
        ("source", pa.string()),
        ("id", pa.string()),
        ("time", pa.int64()),
        ("logged", pa.int64()),
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


def read(connection: duckdb.DuckDBPyConnection, arguments: Arguments) -> None:
    """Make the tables `feedback`, each event with its fate, and `labels`, what is known of each prediction."""
    _fill(connection, "feedback", _FEEDBACK, _feedback(connection, arguments.task))
    connection.execute(_REPEATED)
    _fill(connection, "labels", LABELS, _labels(connection, arguments))
    rules = arguments.rules
    if rules.reward_window_seconds is not None:
        values = {"seconds": rules.reward_window_seconds, "as_of": arguments.as_of, "reward": rules.reward_default}
        connection.execute(_DEFAULTS, values)


_READ = """
SELECT epoch, "partition", "offset", source, id, epoch_us("time") AS "time", epoch_us(logged) AS logged, "type", data,
    extensions['replay'] IS NOT NULL AS marked
FROM log_feedback
"""
_REPEATED = """
UPDATE feedback SET fate = 'skipped:repeated' WHERE (epoch, "partition", "offset") IN (
    SELECT (epoch, "partition", "offset") FROM feedback WHERE fate IS NULL
    QUALIFY row_number() OVER (PARTITION BY source, id ORDER BY logged, epoch, "partition", "offset") > 1)
"""
_SAID = """
SELECT j.prediction_id, j.request_id, j.request_source, j.output, j.confidence, j.propensity, j.model, j.version,
    j.role, epoch_us(j.predicted) AS predicted, epoch_us(j.logged) AS prediction_logged,
    f.given, f.source, f.id, f."time", f.logged
FROM joined j JOIN feedback f USING (prediction_id) WHERE f.fate IS NULL ORDER BY j.prediction_id
"""
_DEFAULTS = """
INSERT INTO labels (prediction_id, reward, reward_defaulted) SELECT prediction_id, $reward, TRUE
FROM joined ANTI JOIN labels USING (prediction_id)
WHERE predicted + to_microseconds(CAST($seconds * 1000000 AS BIGINT)) < $as_of
"""


def _feedback(connection: duckdb.DuckDBPyConnection, task: Task) -> Iterator[dict[str, Any]]:
    for row in _stream(connection, _READ):
        marked, kind, data = row.pop("marked"), row.pop("type"), row.pop("data")
        if marked:
            yield row | {"fate": "skipped:replay"}
            continue
        try:
            if kind is None:
                raise Rejected("bad_headers", "its headers break CloudEvents")
            # An application may call its feedback by a type of its own.
            given = decode(kind if kind.startswith("hindsight.") else FeedbackGiven.type, data or b"")
            if not isinstance(given, FeedbackGiven) or given.about[0] != task.name:
                raise Rejected("unreadable", "no feedback of this task")
            if given.correction is not None:
                task.validate_correction(given.correction)
        except Rejected as error:
            yield row | {"fate": f"rejected:{error.code}"}
        else:
            yield row | {"prediction_id": given.about[1], "given": given.model_dump_json()}


def _labels(connection: duckdb.DuckDBPyConnection, arguments: Arguments) -> Iterator[dict[str, Any]]:
    for prediction_id, group in groupby(_stream(connection, _SAID), key=lambda row: row["prediction_id"]):
        rows = list(group)
        joined = Joined(_served(rows[0], arguments.task), tuple(map(_said, rows)))
        outcome = judge(arguments.task, arguments.rules, joined, arguments.as_of)
        if outcome is not None:
            known = outcome.model_dump(include=set(LABELS.names))
            yield known | {"prediction_id": prediction_id, "label": outcome.label and canonical(outcome.label)}


def _said(row: dict[str, Any]) -> Said:
    given = FeedbackGiven.model_construct(**json.loads(row["given"]))  # it was validated when it was read
    return Said(given, row["source"], row["id"], _moment(row["time"]), _moment(row["logged"]))


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _served(row: dict[str, Any], task: Task) -> Served:
    made = PredictionMade.model_construct(  # what is in `joined` was found valid
        prediction_id=row["prediction_id"],
        request_id=row["request_id"],
        task=task.name,
        model=ModelRef(name=row["model"], version=row["version"]),
        role=row["role"],
        output=json.loads(row["output"]),
        confidence=row["confidence"],
        propensity=row["propensity"],
        timings_ms={},
    )
    return Served(made, row["request_source"], _moment(row["predicted"]), _moment(row["prediction_logged"]))


def _stream(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[dict[str, Any]]:
    for batch in batches(connection, query, _BATCH):
        yield from batch.to_pylist()


def _fill(connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> None:
    connection.register("empty", schema.empty_table())
    connection.execute(f"CREATE TABLE {table} AS FROM empty")
    while batch := list(islice(rows, _BATCH)):
        connection.register("batch", pa.Table.from_pylist(batch, schema))
        connection.execute(f"INSERT INTO {table} FROM batch")
