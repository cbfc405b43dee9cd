"""The catalog: the log as queryable tables."""

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, and_, case, inspect, not_, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from app.catalog import erasure
from app.catalog.engine import create_catalog_engine, read_transaction, write_transaction
from app.catalog.erasure import RowsToErase
from app.catalog.migrate import VERSION_TABLE, recreate, upgrade
from app.catalog.orm import Base, FeedbackRow, FirstWinsRow, LoggedRow, OutcomeRow, PredictionRow, RetractionRow
from app.catalog.projection import UNREADABLE_ERRORS, project_record
from app.errors import Unavailable
from app.events.base import EventData
from app.events.cloudevents import ConsumedRecord
from app.events.decoding import decode
from app.events.types import FeedbackGiven, FeedbackRetracted, OutcomeRecorded, PredictionMade
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory, ServedPrediction

log = logging.getLogger(__name__)
T = TypeVar("T", bound=EventData)
A = TypeVar("A")

_MAX_PARAMETERS = 10_000


class Catalog:
    """The catalog at a SQLAlchemy URL. Every method raises `Unavailable` if the database is unreachable or locked.

    The tables hold event data as it was written; methods return it in the types' current versions.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._upgrade_lock = threading.Lock()
        self._upgraded = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def exists(self) -> bool:
        """Return whether the tables exist, in any version."""
        with read_transaction(self._engine) as connection:
            return inspect(connection).has_table(VERSION_TABLE)

    def upgrade(self) -> None:
        """Migrate the tables to this version, or create empty ones. Several processes may do this at once."""
        with self._upgrade_lock:
            if not self._upgraded:
                upgrade(self._engine)
                self._upgraded = True

    def _ensure_upgraded(self) -> None:
        """Migrate an existing catalog; raises `Unavailable` if there is none.

        An empty catalog is never created here, because it would look complete.
        """
        if not self._upgraded and not self.exists():
            raise Unavailable(
                f"there is no catalog at {self._engine.url.render_as_string()}: start the recorder, or run "
                "`hindsight rebuild`, to build it from the log"
            )
        self.upgrade()

    def project(self, records: Sequence[ConsumedRecord]) -> None:
        """Write the rows of the records in one transaction.

        Records come from the archived topics, in any order, any number of times: the rows are the same. Unreadable
        records have no row.
        """
        with self._write_transaction() as connection:
            project_records(connection, records)

    def with_feedback(self, prediction_ids: Collection[str]) -> set[str]:
        """Return those of the predictions that have feedback, or retractions of it."""
        with self._read_transaction() as connection:
            return {
                prediction_id
                for chunk in _chunks(prediction_ids)
                for table in (FeedbackRow, RetractionRow)
                for prediction_id in connection.scalars(
                    select(table.prediction_id).where(table.prediction_id.in_(chunk))
                )
            }

    def prediction_histories(self, prediction_ids: Collection[str]) -> dict[str, PredictionHistory]:
        """Return each of the predictions with all of its feedback, by (time, id), and the retractions of that."""
        served: dict[str, ServedPrediction] = {}
        feedback_events = defaultdict[str, list[FeedbackEvent]](list)
        retractions = defaultdict[str, list[FeedbackRetracted]](list)
        with self._read_transaction() as connection:
            for chunk in _chunks(prediction_ids):
                prediction_query = select(PredictionRow.__table__).where(
                    PredictionRow.prediction_id.in_(chunk), PredictionRow.role != "shadow"
                )
                for row in connection.execute(prediction_query):
                    served[row.prediction_id] = ServedPrediction(
                        decode_row(row, PredictionMade), row.request_source, row.time, row.logged
                    )
                feedback_query = select(FeedbackRow.__table__).where(FeedbackRow.prediction_id.in_(chunk))
                for row in connection.execute(feedback_query):
                    feedback_events[row.prediction_id].append(
                        FeedbackEvent(decode_row(row, FeedbackGiven), row.source, row.id, row.time, row.logged)
                    )
                retraction_query = select(RetractionRow.__table__).where(RetractionRow.prediction_id.in_(chunk))
                for row in connection.execute(retraction_query):
                    retractions[row.prediction_id].append(decode_row(row, FeedbackRetracted))
        for events in feedback_events.values():
            events.sort(key=lambda event: (event.time, event.id, event.source))
        return {
            prediction_id: PredictionHistory(
                served.get(prediction_id), tuple(feedback_events[prediction_id]), tuple(retractions[prediction_id])
            )
            for prediction_id in prediction_ids
        }

    def awaiting_reward(self, task: str, before: datetime, limit: int) -> list[str]:
        """Return the task's served predictions before that time that have no reward yet, oldest first."""
        query = (
            select(PredictionRow.prediction_id)
            .where(PredictionRow.waiting, PredictionRow.task == task, PredictionRow.time < before)
            .order_by(PredictionRow.time, PredictionRow.prediction_id)
            .limit(limit)
        )
        with self._read_transaction() as connection:
            return list(connection.scalars(query))

    def prediction(self, prediction_id: str) -> dict[str, Any] | None:
        """Return a prediction as it was published, with its feedback by (time, id) and its current outcome.

        `retracted` of feedback is the time of its retraction, or None.
        """
        prediction_query = select(PredictionRow.__table__).where(PredictionRow.prediction_id == prediction_id)
        feedback_query = select(FeedbackRow.__table__).where(FeedbackRow.prediction_id == prediction_id)
        retraction_query = select(RetractionRow.__table__).where(RetractionRow.prediction_id == prediction_id)
        outcome_query = select(OutcomeRow.__table__).where(OutcomeRow.prediction_id == prediction_id)
        with self._read_transaction() as connection:
            prediction_row = connection.execute(prediction_query).one_or_none()
            if prediction_row is None:
                return None
            feedback_rows = connection.execute(
                feedback_query.order_by(FeedbackRow.time, FeedbackRow.id, FeedbackRow.source)
            ).all()
            retraction_rows = connection.execute(retraction_query.order_by(RetractionRow.time)).all()
            outcome_row = connection.execute(outcome_query).one_or_none()
        return decode_row(prediction_row, PredictionMade).model_dump() | {
            "request_source": prediction_row.request_source,
            "time": prediction_row.time,
            "feedback": [_feedback_details(feedback_row, retraction_rows) for feedback_row in feedback_rows],
            "outcome": None if outcome_row is None else decode_row(outcome_row, OutcomeRecorded).model_dump(),
        }

    def query(self, run_query: Callable[[Connection], A]) -> A:
        """Run a query on a consistent snapshot of the tables; return its result."""
        with self._read_transaction() as connection:
            return run_query(connection)

    def count(self, erased: RowsToErase) -> int:
        """Return how many of these rows exist."""
        with self._read_transaction() as connection:
            return erasure.count_rows(connection, erased)

    def erase(self, erased: RowsToErase) -> int:
        """Delete these rows; return how many there were. Only `vacuum` removes them from the database's files."""
        with self._write_transaction() as connection:
            rows = erasure.erase_rows(connection, erased)
            update_waiting(connection, erased.outcomes)
            return rows

    def vacuum(self) -> None:
        """Remove every trace of deleted rows from the database's files."""
        self._ensure_upgraded()
        erasure.vacuum(self._engine)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of this table, by their keys."""
        table = Base.metadata.tables[name]
        query = select(table).order_by(*table.primary_key)
        with self._read_transaction() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield dict(row._mapping)

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of all tables."""
        return {name: list(self.rows(name)) for name in Base.metadata.tables}

    @contextmanager
    def replace_tables(self) -> Iterator[Connection]:
        """Open a transaction in which the tables are new and empty. Other writers wait for its end."""
        with write_transaction(self._engine) as connection:
            recreate(connection)
            yield connection

    @contextmanager
    def _read_transaction(self) -> Iterator[Connection]:
        self._ensure_upgraded()
        with read_transaction(self._engine) as connection:
            yield connection

    @contextmanager
    def _write_transaction(self) -> Iterator[Connection]:
        self._ensure_upgraded()
        with write_transaction(self._engine) as connection:
            yield connection


def project_records(connection: Connection, records: Sequence[ConsumedRecord]) -> int:
    """Write the rows of the records in this connection's transaction; return how many records are unreadable."""
    rows_by_table = defaultdict[type[Base], list[dict[str, Any]]](list)
    unreadable = 0
    for record in records:
        try:
            for table, row in list(project_record(record)):
                rows_by_table[table].append(row)
        except UNREADABLE_ERRORS as error:
            unreadable += 1
            log.warning("the catalog can't read %s: %s", record.origin.position, error)
    for table in sorted(rows_by_table, key=lambda table: table.__tablename__):
        connection.execute(build_upsert(table, connection.dialect.name), rows_by_table[table])
    update_waiting(
        connection, {row["prediction_id"] for table in (PredictionRow, OutcomeRow) for row in rows_by_table[table]}
    )
    return unreadable


def update_waiting(connection: Connection, prediction_ids: Collection[str]) -> None:
    """Recompute which of these predictions wait for a reward."""
    rewarded = select(OutcomeRow).where(
        OutcomeRow.prediction_id == PredictionRow.prediction_id, OutcomeRow.reward.is_not(None)
    )
    of_model = PredictionRow.data["memory"].as_string().is_(None)  # a remembered correction has no reward of its own
    waiting = and_(PredictionRow.role != "shadow", of_model, not_(rewarded.exists()))
    for chunk in _chunks(prediction_ids):
        conditions = PredictionRow.prediction_id.in_(chunk), PredictionRow.waiting != waiting
        connection.execute(update(PredictionRow).where(*conditions).values(waiting=waiting))


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    """Yield the values in order, in chunks that fit into one statement."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _MAX_PARAMETERS):
        yield ordered[start : start + _MAX_PARAMETERS]


@lru_cache
def build_upsert(model: type[Base], dialect: str) -> Insert:
    """Return an INSERT of a row that merges with an existing row of the same key, as if both records made one row."""
    table = Base.metadata.tables[model.__tablename__]
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    old_columns, new_columns = table.c, insert.excluded
    names = [column.name for column in table.columns if not column.primary_key]
    if not issubclass(model, LoggedRow):
        is_earlier = {name: or_(old_columns[name].is_(None), new_columns[name] < old_columns[name]) for name in names}
        earliest = {name: case((is_earlier[name], new_columns[name]), else_=old_columns[name]) for name in names}
        return insert.on_conflict_do_update(index_elements=table.primary_key, set_=earliest)
    new_position, old_position = (
        tuple_(*(columns[name] for name in model.order)) for columns in (new_columns, old_columns)
    )
    wins = new_position < old_position if issubclass(model, FirstWinsRow) else new_position > old_position
    return insert.on_conflict_do_update(
        index_elements=table.primary_key, set_={name: new_columns[name] for name in names}, where=wins
    )


def decode_row(row: Any, event_type: type[T]) -> T:
    """Return a row's data in the current version of its type."""
    data = decode(row.type, json.dumps(row.data).encode())
    assert isinstance(data, event_type)
    return data


def _feedback_details(row: Any, retraction_rows: Sequence[Any]) -> dict[str, Any]:
    """Return the feedback with its identity, and the time of the first of its retractions."""
    feedback = decode_row(row, FeedbackGiven)
    times = (
        retraction.time
        for retraction in retraction_rows
        if decode_row(retraction, FeedbackRetracted).names(row.source, row.id, feedback.actor)
    )
    identity = {"id": row.id, "source": row.source, "time": row.time}
    return feedback.model_dump() | identity | {"retracted": next(times, None)}
