"""The catalog's database: SQLite or PostgreSQL, each set up so that many processes may use it at once."""

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
"""How long a writer waits for another, before it says that the database is away."""

_RETRY_SECONDS = 0.05
_WRITER_LOCK = 0x48494E44


def create_catalog_engine(url: str) -> Engine:
    """The engine of a URL. Raises `SetupError` for what is neither SQLite nor PostgreSQL."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError:
        backend = None
    if backend == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": LOCK_SECONDS})
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
        return engine
    if backend == "postgresql":
        options = f"-c lock_timeout={LOCK_SECONDS}s"
        return create_engine(parsed, pool_pre_ping=True, connect_args={"options": options})
    raise SetupError(
        "HINDSIGHT_DATABASE_URL names no database that the catalog can be in.",
        "Set it to postgresql://user:password@host/database, or to nothing for SQLite.",
    )


@contextmanager
def wrap_errors(engine: Engine) -> Iterator[None]:
    """Turns what says that the database is away, full or locked into `Unavailable`."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        reason = " ".join(str(error.orig).split())
        raise Unavailable(f"the catalog at {engine.url.render_as_string()}: {reason}") from error


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the catalog as it is at one moment."""
    options: Any = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with wrap_errors(engine), engine.connect() as connection:
        yield connection.execution_options(**options)


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """A connection whose transaction is committed at the end of the block, unless that raises.

    There is one at a time: what a writer reads is what it will have written upon.
    """
    with wrap_errors(engine), engine.connect() as connection, connection.execution_options(writes=True).begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
        yield connection


@contextmanager
def control_transaction(engine: Engine) -> Iterator[Connection]:
    """As `writing`, for a few rows of a control table: it waits for no writer of the catalog where it needn't.

    Rebuilding the catalog may take longer than such a row may wait.
    """
    free = engine.execution_options(writes=True)
    with wrap_errors(free), free.begin() as connection:
        yield connection


def _on_sqlite_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # or the driver begins transactions when it sees fit, and never one for DDL
    # Readers don't wait for a writer. Of several connections that turn a new file to it at once, SQLite has all but one
    # fail at once, whatever the timeout.
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
    # A transaction that only wanted to write later would fail at once when another one has written meanwhile.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
