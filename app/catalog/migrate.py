"""Schema migrations: Alembic, configured in code, on a given connection."""

import threading

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from app.catalog.engine import write_transaction
from app.catalog.orm import Base
from app.errors import Unavailable
from app.settings import CHECKOUT

VERSION_TABLE = "alembic_version"
"""Alembic's table with the schema version: if it exists, the others do."""
_ALEMBIC_LOCK = threading.Lock()
"""Alembic keeps its state in module globals."""


def alembic_config(connection: Connection) -> Config:
    """Return a configuration of Alembic that works in this connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Migrate the schema to a revision. Raises `Unavailable` if the schema is newer than this Hindsight."""
    with write_transaction(engine) as connection:
        try:
            migrate(connection, revision)
        except CommandError as error:
            raise Unavailable(
                f"the catalog at {engine.url.render_as_string()} is of another version of Hindsight ({error}): "
                "upgrade Hindsight, or rebuild the catalog from the log by `hindsight rebuild`"
            ) from error


def migrate(connection: Connection, revision: str) -> None:
    """Migrate the schema to a revision in this connection's transaction."""
    with _ALEMBIC_LOCK:
        command.upgrade(alembic_config(connection), revision)


def recreate(connection: Connection) -> None:
    """Drop the read models, of any version, and create them empty. Other tables of the database stay."""
    Base.metadata.drop_all(connection)
    connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    migrate(connection, "head")
