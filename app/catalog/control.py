"""The control tables: the platform's own state, which no log can tell. Rebuilding the catalog leaves them alone."""

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Float, inspect, literal_column
from sqlalchemy.orm import DeclarativeBase

from app.catalog.column_types import Utc, Words
from app.catalog.engine import reading, writing


class Control(DeclarativeBase):
    """A control table. Its metadata is its own: `app.catalog.migrate.recreate` drops the read models' alone."""

    type_annotation_map = {str: Words(), datetime: Utc()}  # noqa: RUF012


_CLOCK = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    # not that of the transaction's start, which may have waited for another
    "postgresql": "extract(epoch FROM clock_timestamp())::double precision",
}


def clock(engine: Engine) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock: the replicas' clocks may differ."""
    return literal_column(_CLOCK[engine.dialect.name], Float(53))


def make(engine: Engine) -> None:
    """Make the control tables that aren't there. Several processes may do it at once. Raises `Unavailable`."""
    with reading(engine) as connection:  # which waits for no writer: making the catalog again takes its time
        if Control.metadata.tables.keys() <= set(inspect(connection).get_table_names()):
            return
    with writing(engine) as connection:
        Control.metadata.create_all(connection)
