"""The schema's versions: Alembic, set up in code, on a connection of ours."""

import threading

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from app.catalog.engine import available, writing
from app.settings import CHECKOUT

_ALEMBIC = threading.Lock()
"""Alembic keeps what it is doing in module globals."""
_UPGRADE_LOCK = 0x48494E44


def config(connection: Connection) -> Config:
    """Alembic's configuration, to work in this connection's transaction."""
    found = Config()
    found.set_main_option("script_location", str(CHECKOUT / "migrations"))
    found.attributes["connection"] = connection
    return found


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to a revision, one process at a time."""
    if engine.dialect.name == "sqlite":
        with available(engine), engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")  # the journal's mode can't be changed within a transaction
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("BEGIN")
    with _ALEMBIC, writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
        command.upgrade(config(connection), revision)
