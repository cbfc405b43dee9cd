"""Selection of the requests and predictions of a replay: the tables `requests`, `predictions`, `rows` and others."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow.dataset as ds

from app.eventlog import snapshot
from app.events import topics
from app.events.lifecycle import DataErased
from app.events.types import OutcomeRecorded, PredictionFailed, PredictionMade
from app.replay import disposition, duckdb_views, labels, upcasting, where_clause
from app.replay.query import ReplayQuery
from app.settings import Settings

ReplayProgress = Callable[[str, int, int | None], None]
"""Called with the current step, the amount done, and the total where it is known."""

_TOPICS = (topics.requests, topics.features, topics.predictions, topics.feedback, topics.outcomes)
_MIN_TIME = datetime(1, 1, 1, tzinfo=UTC)
_MAX_TIME = datetime(9999, 12, 31, tzinfo=UTC)


@contextmanager
def open_selection(
    settings: Settings, arguments: ReplayQuery, scratch: Path, progress: ReplayProgress
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with the views of `duckdb_views` and the tables of `disposition` and `labels`.

    Raises `SetupError`; KafkaError without a broker.
    """
    progress("Reading the tail from Kafka", 0, None)
    names = [kind(arguments.task.name) for kind in _TOPICS]
    snapshots = asyncio.run(snapshot.take(settings, names, scratch))
    with duckdb_views.open_views(settings, snapshots, arguments.as_of, scratch) as connection:
        upcasting.upcast_views(connection)
        _create_rows(connection, arguments, progress)
        yield connection


def count_erasures(settings: Settings) -> int:
    """Return the number of erasures in the log. Raises KafkaError without a broker."""
    with TemporaryDirectory() as scratch:
        lifecycle = asyncio.run(snapshot.take(settings, [topics.LIFECYCLE], Path(scratch)))[topics.LIFECYCLE]
        erasures = lifecycle.dataset().to_table(["source", "id"], filter=ds.field("type") == DataErased.type)
        return int(erasures.group_by(["source", "id"]).aggregate([]).num_rows)


def _create_rows(connection: duckdb.DuckDBPyConnection, arguments: ReplayQuery, progress: ReplayProgress) -> None:
    """Create the table `rows`."""
    parameters = {
        "prediction_type": PredictionMade.type,
        "failure_type": PredictionFailed.type,
        "outcome_type": OutcomeRecorded.type,
        "since": arguments.since or _MIN_TIME,
        "until": arguments.until or _MAX_TIME,
        "preprocess_version": arguments.task.preprocess_version,
    }

    def execute(statements: Sequence[str]) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(
                    statement, {name: value for name, value in parameters.items() if f"${name}" in statement}
                )

    # DuckDB and Python work in parallel: Python reads and aggregates feedback while DuckDB creates other tables.
    with ThreadPoolExecutor(1) as executor:
        progress("Joining the log", 0, None)
        served_tables = executor.submit(execute, disposition.SERVED_STATEMENTS)
        labels.read_feedback(connection, arguments.task)
        served_tables.result()
        progress("Aggregating labels", 0, None)
        feature_tables = executor.submit(execute, disposition.FEATURE_STATEMENTS)
        labels.aggregate_labels(connection, arguments)
        feature_tables.result()
    connection.execute(disposition.CREATE_CANDIDATES)
    if arguments.where is not None:
        where_clause.apply_where(connection, arguments.where)
    connection.execute("SET preserve_insertion_order = TRUE")  # from here on: the order of `rows` counts
    condition = "TRUE" if arguments.where is None else "c.p_row IN (SELECT p_row FROM selected)"
    connection.execute(disposition.CREATE_ROWS.format(where=condition))
