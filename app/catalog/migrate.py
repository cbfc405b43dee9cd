"""Schema migrations: Alembic, configured in code, on a given connection."""

import threading
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, column, inspect, select, table, text

from app.catalog.engine import read_transaction, write_transaction
from app.catalog.orm import Base
from app.errors import Unavailable
from app.settings import CHECKOUT

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic takes longer to import than all else of most commands: it is imported by the few starts that migrate.

VERSION_TABLE = "alembic_version"
"""Alembic's table with the schema version: if it exists, the others do."""
_MIGRATIONS = CHECKOUT / "migrations"
_ALEMBIC_LOCK = threading.Lock()
"""Alembic keeps its state in module globals."""


def alembic_config(connection: Connection) -> "Config":
    """Return a configuration of Alembic that works in this connection's transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Migrate the schema to a revision. Raises `Unavailable` if the schema is newer than this Hindsight."""
    if revision == "head" and _is_current(engine):
        return
    from alembic.util import CommandError

    with write_transaction(engine) as connection:
        try:
            migrate(connection, revision)
        except CommandError as error:
            raise Unavailable(
                f"the catalog at {engine.url.render_as_string()} is of another version of Hindsight ({error}): "
                "upgrade Hindsight, or rebuild the catalog from the log by `hindsight rebuild`"
            ) from error


def _is_current(engine: Engine) -> bool:
    """Return whether the schema is that of the newest migration."""
    newest = max(path.stem.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("*.py"))
    with read_transaction(engine) as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return False
        return list(connection.scalars(select(column("version_num")).select_from(table(VERSION_TABLE)))) == [newest]


def migrate(connection: Connection, revision: str) -> None:
    """Migrate the schema to a revision in this connection's transaction."""
    from alembic import command

    with _ALEMBIC_LOCK:
        command.upgrade(alembic_config(connection), revision)


def recreate(connection: Connection) -> None:
    """Drop the read models, of any version, and create them empty. Other tables of the database stay."""
    Base.metadata.drop_all(connection)
    connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    migrate(connection, "head")
