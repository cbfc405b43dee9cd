"""Erasure from the catalog: deletion of rows, and of their traces in the database's files."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.orm import InstrumentedAttribute

from app.catalog.engine import wrap_errors
from app.catalog.orm import DeadLetterRow, FeedbackRow, OutcomeRow, PredictionRow, RetractionRow
from app.catalog.projection import event_key
from app.errors import Unavailable

_MAX_IDS = 1000
_TABLES = (PredictionRow, FeedbackRow, RetractionRow, OutcomeRow, DeadLetterRow)


@dataclass(frozen=True)
class RowsToErase:
    """The ids of the rows to erase; feedback and retractions are identified by (source, id)."""

    predictions: Collection[str] = field(default_factory=tuple)
    feedback: Collection[tuple[str, str]] = field(default_factory=tuple)
    retractions: Collection[tuple[str, str]] = field(default_factory=tuple)
    outcomes: Collection[str] = field(default_factory=tuple)
    dead_letters: Collection[str] = field(default_factory=tuple)


def count_rows(connection: Connection, erased: RowsToErase) -> int:
    """Return how many of the rows exist."""
    return sum(
        connection.scalar(select(func.count()).where(column.in_(ids))) or 0 for column, ids in _conditions(erased)
    )


def erase_rows(connection: Connection, erased: RowsToErase) -> int:
    """Delete the rows; return how many there were."""
    return sum(
        connection.execute(delete(column.class_).where(column.in_(ids))).rowcount for column, ids in _conditions(erased)
    )


def vacuum(engine: Engine) -> None:
    """Rewrite the tables, so that their files keep no trace of deleted rows. Raises `Unavailable`."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:
            try:
                cursor = connection.cursor()
                cursor.execute("VACUUM")
                # The write-ahead log holds rows as well, until it is checkpointed and truncated.
                busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                raise Unavailable(f"the catalog at {engine.url.render_as_string()}: {error}") from error
        if busy:
            raise Unavailable(
                f"the catalog at {engine.url.render_as_string()} is being read: retry when no reader is active"
            )
        return
    names = ", ".join(table.__tablename__ for table in _TABLES)
    with wrap_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM (FULL) {names}"))


def _conditions(erased: RowsToErase) -> Iterator[tuple[InstrumentedAttribute[str], list[str]]]:
    """Yield columns with the ids to match in them, in chunks."""
    ids_by_column = (
        (PredictionRow.prediction_id, erased.predictions),
        (FeedbackRow.key, [event_key(*identity) for identity in erased.feedback]),
        (RetractionRow.key, [event_key(*identity) for identity in erased.retractions]),
        (OutcomeRow.prediction_id, erased.outcomes),
        (DeadLetterRow.rejected_id, erased.dead_letters),
    )
    for column, ids in ids_by_column:
        ordered = sorted(ids)
        for start in range(0, len(ordered), _MAX_IDS):
            yield column, ordered[start : start + _MAX_IDS]
