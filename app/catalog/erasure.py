"""Erasing from the catalog: rows, and what databases keep of rows that are gone."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.orm import InstrumentedAttribute

from app.catalog.engine import wrap_errors
from app.catalog.orm import DeadLetterRow, FeedbackRow, OutcomeRow, PredictionRow
from app.catalog.projection import event_key
from app.errors import Unavailable

_MAX_IDS = 1000
_TABLES = (PredictionRow, FeedbackRow, OutcomeRow, DeadLetterRow)


@dataclass(frozen=True)
class RowsToErase:
    """The rows to erase, by their ids; of feedback by (source, id)."""

    predictions: Collection[str] = field(default_factory=tuple)
    feedback: Collection[tuple[str, str]] = field(default_factory=tuple)
    outcomes: Collection[str] = field(default_factory=tuple)
    dead_letters: Collection[str] = field(default_factory=tuple)


def count_rows(connection: Connection, erased: RowsToErase) -> int:
    """How many of the rows there are."""
    return sum(
        connection.scalar(select(func.count()).where(column.in_(ids))) or 0 for column, ids in _conditions(erased)
    )


def erase_rows(connection: Connection, erased: RowsToErase) -> int:
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
    with wrap_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM (FULL) {names}"))


def _conditions(erased: RowsToErase) -> Iterator[tuple[InstrumentedAttribute[str], list[str]]]:
    """Columns and the ids to look for in them, few at a time."""
    wanted = (
        (PredictionRow.prediction_id, erased.predictions),
        (FeedbackRow.key, [event_key(*identity) for identity in erased.feedback]),
        (OutcomeRow.prediction_id, erased.outcomes),
        (DeadLetterRow.rejected_id, erased.dead_letters),
    )
    for column, ids in wanted:
        ordered = sorted(ids)
        for start in range(0, len(ordered), _MAX_IDS):
            yield column, ordered[start : start + _MAX_IDS]
