"""The catalog's database: SQLite or PostgreSQL, configured for concurrent processes."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError

from app.errors import SetupError, Unavailable

LOCK_SECONDS = 10
"""Time that a writer waits for another one before it raises `Unavailable`."""

_RETRY_SECONDS = 0.05
_WRITER_LOCK = 0x48494E44


def create_catalog_engine(url: str) -> Engine:
    """Return the engine of a URL. Raises `SetupError` if it is neither SQLite nor PostgreSQL."""
    try:
        database_url = make_url(url)
        backend = database_url.get_backend_name()
    except ArgumentError:
        backend = None
    if backend == "sqlite":
        if database_url.database:
            Path(database_url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(database_url, connect_args={"timeout": LOCK_SECONDS})
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
        return engine
    if backend == "postgresql":
        options = f"-c lock_timeout={LOCK_SECONDS}s"
        return create_engine(database_url, pool_pre_ping=True, connect_args={"options": options})
    raise SetupError(
        "HINDSIGHT_DATABASE_URL is not a database for the catalog.",
        "Set it to postgresql://user:password@host/database, or leave it empty for SQLite.",
    )


@contextmanager
def wrap_errors(engine: Engine) -> Iterator[None]:
    """Raise `Unavailable` for errors of a database that is unreachable, full or locked."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        reason = " ".join(str(error.orig).split())
        raise Unavailable(f"the catalog at {engine.url.render_as_string()}: {reason}") from error


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that sees a consistent snapshot of the catalog."""
    options: Any = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with wrap_errors(engine), engine.connect() as connection:
        yield connection.execution_options(**options)


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose transaction is committed at the end of the block, unless the block raises.

    Only one runs at a time, so that no other writer changes what this one has read.
    """
    with wrap_errors(engine), engine.connect() as connection, connection.execution_options(writes=True).begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
        yield connection


@contextmanager
def control_transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a write connection for a few rows of a control table, without the lock of the catalog's writers.

    Such a row can't wait for a rebuild of the catalog.
    """
    write_engine = engine.execution_options(writes=True)
    with wrap_errors(write_engine), write_engine.begin() as connection:
        yield connection


def _on_sqlite_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # otherwise the driver begins transactions by its own rules, and none for DDL
    # In WAL mode readers don't wait for a writer. If several connections switch a new file to it at once, all but one
    # fail immediately, whatever the timeout.
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def _on_sqlite_begin(connection: Connection) -> None:
    # A transaction that starts as a reader fails on its first write if another one has written meanwhile.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
