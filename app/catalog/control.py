"""The control tables: state of the platform that is not in the log. Rebuilding the catalog keeps them."""

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Float, inspect, literal_column
from sqlalchemy.orm import DeclarativeBase

from app.catalog.column_types import ByteOrderedText, UtcDateTime
from app.catalog.engine import read_transaction, write_transaction


class ControlTable(DeclarativeBase):
    """A control table. Its metadata is separate: `app.catalog.migrate.recreate` drops the read models only."""

    type_annotation_map = {str: ByteOrderedText(), datetime: UtcDateTime()}  # noqa: RUF012


_CLOCK = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    # not the time of the transaction's start, which may have waited for another
    "postgresql": "extract(epoch FROM clock_timestamp())::double precision",
}


def database_clock(engine: Engine) -> ColumnElement[float]:
    """Return the seconds since 1970 by the database's clock, because the replicas' clocks may differ."""
    return literal_column(_CLOCK[engine.dialect.name], Float(53))


def create_control_tables(engine: Engine) -> None:
    """Create missing control tables. Several processes may do this at once. Raises `Unavailable`."""
    with read_transaction(engine) as connection:  # does not wait for a rebuild of the catalog
        if ControlTable.metadata.tables.keys() <= set(inspect(connection).get_table_names()):
            return
    with write_transaction(engine) as connection:
        ControlTable.metadata.create_all(connection)
