"""The catalog: what the log says, as tables that can be asked."""

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
from app.catalog.orm import Base, FeedbackRow, FirstWinsRow, LoggedRow, OutcomeRow, PredictionRow
from app.catalog.projection import UNREADABLE_ERRORS, project_record
from app.errors import Unavailable
from app.events.base import EventData
from app.events.cloudevents import ConsumedRecord
from app.events.decoding import decode
from app.events.types import FeedbackGiven, OutcomeRecorded, PredictionMade
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory, ServedPrediction

log = logging.getLogger(__name__)
T = TypeVar("T", bound=EventData)
A = TypeVar("A")

_MAX_PARAMETERS = 10_000


class Catalog:
    """The catalog at a SQLAlchemy URL. Every method raises `Unavailable` when the database is away or locked.

    The tables hold an event's data as it was written; what is read from them is in the types' current versions.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._upgrade_lock = threading.Lock()
        self._upgraded = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def exists(self) -> bool:
        """Whether the tables are there, of whatever version."""
        with read_transaction(self._engine) as connection:
            return inspect(connection).has_table(VERSION_TABLE)

    def upgrade(self) -> None:
        """Bring the tables to this version, or make empty ones. Several processes may do it at once."""
        with self._upgrade_lock:
            if not self._upgraded:
                upgrade(self._engine)
                self._upgraded = True

    def _ensure_upgraded(self) -> None:
        """Each method's first step: a catalog that is there is complete, and one that isn't is never made empty."""
        if not self._upgraded and not self.exists():
            raise Unavailable(
                f"there is no catalog at {self._engine.url.render_as_string()}: the recorder makes it from the log "
                "when it starts, and so does `hindsight rebuild`"
            )
        self.upgrade()

    def project(self, records: Sequence[ConsumedRecord]) -> None:
        """Write what the records say, in one transaction.

        They come as they stand in the archived topics, in any order, any number of times: the rows are the same.
        What can't be read has no row.
        """
        with self._write_transaction() as connection:
            project_records(connection, records)

    def prediction_histories(self, prediction_ids: Collection[str]) -> dict[str, PredictionHistory]:
        """Each of the predictions, and all that was said of it, by (time, id)."""
        served: dict[str, ServedPrediction] = {}
        said = defaultdict[str, list[FeedbackEvent]](list)
        with self._read_transaction() as connection:
            for some in _chunks(prediction_ids):
                predictions = select(PredictionRow.__table__).where(
                    PredictionRow.prediction_id.in_(some), PredictionRow.role != "shadow"
                )
                for row in connection.execute(predictions):
                    served[row.prediction_id] = ServedPrediction(
                        decode_row(row, PredictionMade), row.request_source, row.time, row.logged
                    )
                feedback = select(FeedbackRow.__table__).where(FeedbackRow.prediction_id.in_(some))
                for row in connection.execute(feedback):
                    said[row.prediction_id].append(
                        FeedbackEvent(decode_row(row, FeedbackGiven), row.source, row.id, row.time, row.logged)
                    )
        for events in said.values():
            events.sort(key=lambda one: (one.time, one.id, one.source))
        return {one: PredictionHistory(served.get(one), tuple(said[one])) for one in prediction_ids}

    def awaiting_reward(self, task: str, before: datetime, limit: int) -> list[str]:
        """The task's served predictions made before that moment which have no reward yet, oldest first."""
        found = (
            select(PredictionRow.prediction_id)
            .where(PredictionRow.waiting, PredictionRow.task == task, PredictionRow.time < before)
            .order_by(PredictionRow.time, PredictionRow.prediction_id)
            .limit(limit)
        )
        with self._read_transaction() as connection:
            return list(connection.scalars(found))

    def prediction(self, prediction_id: str) -> dict[str, Any] | None:
        """A prediction as it was published, with its feedback by (time, id) and its present outcome."""
        found = select(PredictionRow.__table__).where(PredictionRow.prediction_id == prediction_id)
        feedback = select(FeedbackRow.__table__).where(FeedbackRow.prediction_id == prediction_id)
        outcome = select(OutcomeRow.__table__).where(OutcomeRow.prediction_id == prediction_id)
        with self._read_transaction() as connection:
            row = connection.execute(found).one_or_none()
            if row is None:
                return None
            said = connection.execute(feedback.order_by(FeedbackRow.time, FeedbackRow.id, FeedbackRow.source)).all()
            result = connection.execute(outcome).one_or_none()
        return decode_row(row, PredictionMade).model_dump() | {
            "request_source": row.request_source,
            "time": row.time,
            "feedback": [decode_row(one, FeedbackGiven).model_dump() | _event_identity(one) for one in said],
            "outcome": None if result is None else decode_row(result, OutcomeRecorded).model_dump(),
        }

    def query(self, question: Callable[[Connection], A]) -> A:
        """What a question finds in the tables, as they are at one moment."""
        with self._read_transaction() as connection:
            return question(connection)

    def count(self, erased: RowsToErase) -> int:
        """How many of these rows there are."""
        with self._read_transaction() as connection:
            return erasure.count_rows(connection, erased)

    def erase(self, erased: RowsToErase) -> int:
        """Delete these rows; how many there were. They are gone from the database's files after `vacuum`."""
        with self._write_transaction() as connection:
            rows = erasure.erase_rows(connection, erased)
            update_waiting(connection, erased.outcomes)
            return rows

    def vacuum(self) -> None:
        """Leave nothing of deleted rows in the database's files."""
        self._ensure_upgraded()
        erasure.vacuum(self._engine)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of the table of this name, by their keys."""
        table = Base.metadata.tables[name]
        found = select(table).order_by(*table.primary_key)
        with self._read_transaction() as connection:
            for row in connection.execution_options(yield_per=1000).execute(found):
                yield dict(row._mapping)

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """All that the catalog holds."""
        return {name: list(self.rows(name)) for name in Base.metadata.tables}

    @contextmanager
    def replace_tables(self) -> Iterator[Connection]:
        """A transaction in which the tables are empty and new, whatever they were. Other writers wait for its end."""
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
    """Write what the records say in this connection's transaction; how many of them can't be read."""
    made = defaultdict[type[Base], list[dict[str, Any]]](list)
    unreadable = 0
    for record in records:
        try:
            for model, row in list(project_record(record)):
                made[model].append(row)
        except UNREADABLE_ERRORS as error:
            unreadable += 1
            log.warning("the catalog can't read %s: %s", record.origin.position, error)
    for model in sorted(made, key=lambda model: model.__tablename__):
        connection.execute(build_upsert(model, connection.dialect.name), made[model])
    update_waiting(connection, {row["prediction_id"] for model in (PredictionRow, OutcomeRow) for row in made[model]})
    return unreadable


def update_waiting(connection: Connection, prediction_ids: Collection[str]) -> None:
    """Say anew which of these predictions wait for a reward."""
    rewarded = select(OutcomeRow).where(
        OutcomeRow.prediction_id == PredictionRow.prediction_id, OutcomeRow.reward.is_not(None)
    )
    waiting = and_(PredictionRow.role != "shadow", not_(rewarded.exists()))
    for some in _chunks(prediction_ids):
        changed = PredictionRow.prediction_id.in_(some), PredictionRow.waiting != waiting
        connection.execute(update(PredictionRow).where(*changed).values(waiting=waiting))


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    """The values in order, as many at a time as a statement takes."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _MAX_PARAMETERS):
        yield ordered[start : start + _MAX_PARAMETERS]


@lru_cache
def build_upsert(model: type[Base], dialect: str) -> Insert:
    """Inserts a row, or has its key's row say what the records of both say together."""
    table = Base.metadata.tables[model.__tablename__]
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    old, new = table.c, insert.excluded
    names = [column.name for column in table.columns if not column.primary_key]
    if not issubclass(model, LoggedRow):
        earlier = {name: or_(old[name].is_(None), new[name] < old[name]) for name in names}
        least = {name: case((earlier[name], new[name]), else_=old[name]) for name in names}
        return insert.on_conflict_do_update(index_elements=table.primary_key, set_=least)
    here, there = (tuple_(*(columns[name] for name in model.order)) for columns in (new, old))
    wins = here < there if issubclass(model, FirstWinsRow) else here > there
    return insert.on_conflict_do_update(
        index_elements=table.primary_key, set_={name: new[name] for name in names}, where=wins
    )


def decode_row(row: Any, kind: type[T]) -> T:
    """A row's data, whatever version of its type it is in."""
    data = decode(row.type, json.dumps(row.data).encode())
    assert isinstance(data, kind)
    return data


def _event_identity(row: Any) -> dict[str, Any]:
    return {"id": row.id, "source": row.source, "time": row.time}
