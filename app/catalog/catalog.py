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
from app.catalog.engine import engine_of, reading, writing
from app.catalog.erasure import Erased
from app.catalog.migrate import VERSIONS, recreate, upgrade
from app.catalog.orm import Base, Feedback, First, Logged, Outcome, Prediction
from app.catalog.projection import UNREADABLE, rows
from app.errors import Unavailable
from app.events.base import Data
from app.events.cloudevents import Incoming
from app.events.decoding import decode
from app.events.types import FeedbackGiven, OutcomeRecorded, PredictionMade
from app.outcomes.prediction_history import Joined, Said, Served

log = logging.getLogger(__name__)
T = TypeVar("T", bound=Data)
A = TypeVar("A")

_MOST_PARAMETERS = 10_000


class Catalog:
    """The catalog at a SQLAlchemy URL. Every method raises `Unavailable` when the database is away or locked.

    The tables hold an event's data as it was written; what is read from them is in the types' current versions.
    """

    def __init__(self, url: str) -> None:
        self._engine = engine_of(url)
        self._upgrading = threading.Lock()
        self._upgraded = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def exists(self) -> bool:
        """Whether the tables are there, of whatever version."""
        with reading(self._engine) as connection:
            return inspect(connection).has_table(VERSIONS)

    def upgrade(self) -> None:
        """Bring the tables to this version, or make empty ones. Several processes may do it at once."""
        with self._upgrading:
            if not self._upgraded:
                upgrade(self._engine)
                self._upgraded = True

    def _ready(self) -> None:
        """Each method's first step: a catalog that is there is complete, and one that isn't is never made empty."""
        if not self._upgraded and not self.exists():
            raise Unavailable(
                f"there is no catalog at {self._engine.url.render_as_string()}: the recorder makes it from the log "
                "when it starts, and so does `hindsight rebuild`"
            )
        self.upgrade()

    def project(self, records: Sequence[Incoming]) -> None:
        """Write what the records say, in one transaction.

        They come as they stand in the archived topics, in any order, any number of times: the rows are the same.
        What can't be read has no row.
        """
        with self._writing() as connection:
            project(connection, records)

    def joined(self, prediction_ids: Collection[str]) -> dict[str, Joined]:
        """Each of the predictions, and all that was said of it, by (time, id)."""
        served: dict[str, Served] = {}
        said = defaultdict[str, list[Said]](list)
        with self._reading() as connection:
            for some in _chunks(prediction_ids):
                predictions = select(Prediction.__table__).where(
                    Prediction.prediction_id.in_(some), Prediction.role != "shadow"
                )
                for row in connection.execute(predictions):
                    served[row.prediction_id] = Served(
                        read_row(row, PredictionMade), row.request_source, row.time, row.logged
                    )
                feedback = select(Feedback.__table__).where(Feedback.prediction_id.in_(some))
                for row in connection.execute(feedback):
                    said[row.prediction_id].append(
                        Said(read_row(row, FeedbackGiven), row.source, row.id, row.time, row.logged)
                    )
        for events in said.values():
            events.sort(key=lambda one: (one.time, one.id, one.source))
        return {one: Joined(served.get(one), tuple(said[one])) for one in prediction_ids}

    def due(self, task: str, before: datetime, limit: int) -> list[str]:
        """The task's served predictions made before that moment which have no reward yet, oldest first."""
        found = (
            select(Prediction.prediction_id)
            .where(Prediction.waiting, Prediction.task == task, Prediction.time < before)
            .order_by(Prediction.time, Prediction.prediction_id)
            .limit(limit)
        )
        with self._reading() as connection:
            return list(connection.scalars(found))

    def prediction(self, prediction_id: str) -> dict[str, Any] | None:
        """A prediction as it was published, with its feedback by (time, id) and its present outcome."""
        found = select(Prediction.__table__).where(Prediction.prediction_id == prediction_id)
        feedback = select(Feedback.__table__).where(Feedback.prediction_id == prediction_id)
        outcome = select(Outcome.__table__).where(Outcome.prediction_id == prediction_id)
        with self._reading() as connection:
            row = connection.execute(found).one_or_none()
            if row is None:
                return None
            said = connection.execute(feedback.order_by(Feedback.time, Feedback.id, Feedback.source)).all()
            result = connection.execute(outcome).one_or_none()
        return read_row(row, PredictionMade).model_dump() | {
            "request_source": row.request_source,
            "time": row.time,
            "feedback": [read_row(one, FeedbackGiven).model_dump() | _event(one) for one in said],
            "outcome": None if result is None else read_row(result, OutcomeRecorded).model_dump(),
        }

    def ask(self, question: Callable[[Connection], A]) -> A:
        """What a question finds in the tables, as they are at one moment."""
        with self._reading() as connection:
            return question(connection)

    def count(self, erased: Erased) -> int:
        """How many of these rows there are."""
        with self._reading() as connection:
            return erasure.count(connection, erased)

    def erase(self, erased: Erased) -> int:
        """Delete these rows; how many there were. They are gone from the database's files after `vacuum`."""
        with self._writing() as connection:
            rows = erasure.erase(connection, erased)
            set_waiting(connection, erased.outcomes)
            return rows

    def vacuum(self) -> None:
        """Leave nothing of deleted rows in the database's files."""
        self._ready()
        erasure.vacuum(self._engine)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of the table of this name, by their keys."""
        table = Base.metadata.tables[name]
        found = select(table).order_by(*table.primary_key)
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=1000).execute(found):
                yield dict(row._mapping)

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """All that the catalog holds."""
        return {name: list(self.rows(name)) for name in Base.metadata.tables}

    @contextmanager
    def replacing(self) -> Iterator[Connection]:
        """A transaction in which the tables are empty and new, whatever they were. Other writers wait for its end."""
        with writing(self._engine) as connection:
            recreate(connection)
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._ready()
        with reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._ready()
        with writing(self._engine) as connection:
            yield connection


def project(connection: Connection, records: Sequence[Incoming]) -> int:
    """Write what the records say in this connection's transaction; how many of them can't be read."""
    made = defaultdict[type[Base], list[dict[str, Any]]](list)
    unreadable = 0
    for record in records:
        try:
            for model, row in list(rows(record)):
                made[model].append(row)
        except UNREADABLE as error:
            unreadable += 1
            log.warning("the catalog can't read %s: %s", record.origin.place, error)
    for model in sorted(made, key=lambda model: model.__tablename__):
        connection.execute(upsert(model, connection.dialect.name), made[model])
    set_waiting(connection, {row["prediction_id"] for model in (Prediction, Outcome) for row in made[model]})
    return unreadable


def set_waiting(connection: Connection, prediction_ids: Collection[str]) -> None:
    """Say anew which of these predictions wait for a reward."""
    rewarded = select(Outcome).where(Outcome.prediction_id == Prediction.prediction_id, Outcome.reward.is_not(None))
    waiting = and_(Prediction.role != "shadow", not_(rewarded.exists()))
    for some in _chunks(prediction_ids):
        changed = Prediction.prediction_id.in_(some), Prediction.waiting != waiting
        connection.execute(update(Prediction).where(*changed).values(waiting=waiting))


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    """The values in order, as many at a time as a statement takes."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _MOST_PARAMETERS):
        yield ordered[start : start + _MOST_PARAMETERS]


@lru_cache
def upsert(model: type[Base], dialect: str) -> Insert:
    """Inserts a row, or has its key's row say what the records of both say together."""
    table = Base.metadata.tables[model.__tablename__]
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    old, new = table.c, insert.excluded
    names = [column.name for column in table.columns if not column.primary_key]
    if not issubclass(model, Logged):
        earlier = {name: or_(old[name].is_(None), new[name] < old[name]) for name in names}
        least = {name: case((earlier[name], new[name]), else_=old[name]) for name in names}
        return insert.on_conflict_do_update(index_elements=table.primary_key, set_=least)
    here, there = (tuple_(*(columns[name] for name in model.order)) for columns in (new, old))
    wins = here < there if issubclass(model, First) else here > there
    return insert.on_conflict_do_update(
        index_elements=table.primary_key, set_={name: new[name] for name in names}, where=wins
    )


def read_row(row: Any, kind: type[T]) -> T:
    """A row's data, whatever version of its type it is in."""
    data = decode(row.type, json.dumps(row.data).encode())
    assert isinstance(data, kind)
    return data


def _event(row: Any) -> dict[str, Any]:
    return {"id": row.id, "source": row.source, "time": row.time}
