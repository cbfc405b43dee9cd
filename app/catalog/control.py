"""The control tables: the platform's own state, which no log can tell. Rebuilding the catalog leaves them alone."""

from datetime import datetime

from sqlalchemy import Engine, inspect
from sqlalchemy.orm import DeclarativeBase

from app.catalog.engine import reading, writing
from app.catalog.models import Utc, Words


class Control(DeclarativeBase):
    """A control table. Its metadata is its own: `app.catalog.schema.recreate` drops the read models' alone."""

    type_annotation_map = {str: Words(), datetime: Utc()}  # noqa: RUF012


def make(engine: Engine) -> None:
    """Make the control tables that aren't there. Several processes may do it at once. Raises `Unavailable`."""
    with reading(engine) as connection:  # which waits for no writer: making the catalog again takes its time
        if Control.metadata.tables.keys() <= set(inspect(connection).get_table_names()):
            return
    with writing(engine) as connection:
        Control.metadata.create_all(connection)
