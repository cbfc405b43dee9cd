"""Erasing from the catalog: rows, and what databases keep of rows that are gone."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.orm import InstrumentedAttribute

from app.catalog.engine import available
from app.catalog.orm import DeadLetter, Feedback, Outcome, Prediction
from app.catalog.projection import key_of
from app.errors import Unavailable

_MOST_IDS = 1000
_TABLES = (Prediction, Feedback, Outcome, DeadLetter)


@dataclass(frozen=True)
class Erased:
    """The rows to erase, by their ids; of feedback by (source, id)."""

    predictions: Collection[str] = field(default_factory=tuple)
    feedback: Collection[tuple[str, str]] = field(default_factory=tuple)
    outcomes: Collection[str] = field(default_factory=tuple)
    dead_letters: Collection[str] = field(default_factory=tuple)


def count(connection: Connection, erased: Erased) -> int:
    """How many of the rows there are."""
    return sum(
        connection.scalar(select(func.count()).where(column.in_(ids))) or 0 for column, ids in _conditions(erased)
    )


def erase(connection: Connection, erased: Erased) -> int:
    """Delete the rows; how many there were."""
    return sum(
        connection.execute(delete(column.class_).where(column.in_(ids))).rowcount for column, ids in _conditions(erased)
    )


def vacuum(engine: Engine) -> None:
    """Write the tables anew, so that nothing of the deleted rows is left in their files. Raises `Unavailable`."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:
            try:
                cursor = connection.cursor()
                cursor.execute("VACUUM")
                # The log of writes holds rows as well, until all of it is in the database and it begins anew.
                busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                raise Unavailable(f"the catalog at {engine.url.render_as_string()}: {error}") from error
        if busy:
            raise Unavailable(f"the catalog at {engine.url.render_as_string()} is being read all the time")
        return
    names = ", ".join(table.__tablename__ for table in _TABLES)
    with available(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM (FULL) {names}"))


def _conditions(erased: Erased) -> Iterator[tuple[InstrumentedAttribute[str], list[str]]]:
    """Columns and the ids to look for in them, few at a time."""
    wanted = (
        (Prediction.prediction_id, erased.predictions),
        (Feedback.key, [key_of(*identity) for identity in erased.feedback]),
        (Outcome.prediction_id, erased.outcomes),
        (DeadLetter.rejected_id, erased.dead_letters),
    )
    for column, ids in wanted:
        ordered = sorted(ids)
        for start in range(0, len(ordered), _MOST_IDS):
            yield column, ordered[start : start + _MOST_IDS]
