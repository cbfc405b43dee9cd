"""The schema's versions: Alembic, set up in code, on a connection of ours."""

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
"""The table in which Alembic keeps the schema's version: where it is, the others are."""
_ALEMBIC_LOCK = threading.Lock()
"""Alembic keeps what it is doing in module globals."""


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, to work in this connection's transaction."""
    found = Config()
    found.set_main_option("script_location", str(CHECKOUT / "migrations"))
    found.attributes["connection"] = connection
    return found


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to a revision. Raises `Unavailable` for one that only a newer Hindsight knows."""
    with write_transaction(engine) as connection:
        try:
            migrate(connection, revision)
        except CommandError as error:
            raise Unavailable(
                f"the catalog at {engine.url.render_as_string()} is of another version of Hindsight ({error}): "
                "upgrade Hindsight, or have this version make it again from the log by `hindsight rebuild`"
            ) from error


def migrate(connection: Connection, revision: str) -> None:
    """Bring the schema up to a revision in this connection's transaction."""
    with _ALEMBIC_LOCK:
        command.upgrade(alembic_config(connection), revision)


def recreate(connection: Connection) -> None:
    """Drop the read models, of whatever version, and make them anew. What else is in the database stays."""
    Base.metadata.drop_all(connection)
    connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    migrate(connection, "head")
