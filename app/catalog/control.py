"""The control tables: the platform's own state, which no log can tell. Rebuilding the catalog leaves them alone."""

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Float, inspect, literal_column
from sqlalchemy.orm import DeclarativeBase

from app.catalog.column_types import ByteOrderedText, UtcDateTime
from app.catalog.engine import read_transaction, write_transaction


class ControlTable(DeclarativeBase):
    """A control table. Its metadata is its own: `app.catalog.migrate.recreate` drops the read models' alone."""

    type_annotation_map = {str: ByteOrderedText(), datetime: UtcDateTime()}  # noqa: RUF012


_CLOCK = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    # not that of the transaction's start, which may have waited for another
    "postgresql": "extract(epoch FROM clock_timestamp())::double precision",
}


def database_clock(engine: Engine) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock: the replicas' clocks may differ."""
    return literal_column(_CLOCK[engine.dialect.name], Float(53))


def create_control_tables(engine: Engine) -> None:
    """Make the control tables that aren't there. Several processes may do it at once. Raises `Unavailable`."""
    with read_transaction(engine) as connection:  # which waits for no writer: making the catalog again takes its time
        if ControlTable.metadata.tables.keys() <= set(inspect(connection).get_table_names()):
            return
    with write_transaction(engine) as connection:
        ControlTable.metadata.create_all(connection)
