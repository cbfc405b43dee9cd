"""A real PostgreSQL server for tests, from Debian's package."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

REMEDY = "no PostgreSQL server is installed; remedy: apt install postgresql"
_START_SECONDS = 30.0


class Postgres:
    """A server on a socket in a directory of its own. It ends with the tests, however they end."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self._directory = directory
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Makes its files. Text is sorted as people do, not by bytes: as it would be on a server of theirs."""
        locale = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en")
        words = [str(self._binaries / "initdb"), "-D", str(self._directory / "data"), "-U", "postgres"]
        subprocess.run(
            [*_as_postgres(), *words, "-A", "trust", "-N", "-E", "UTF8", *locale], check=True, stdout=subprocess.DEVNULL
        )

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_as_postgres(),
                    *(str(self._binaries / "postgres"), "-D", str(self._directory / "data")),
                    *("-c", "listen_addresses=", "-c", f"unix_socket_directories={self._directory}"),
                    *("-c", "fsync=off"),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self._conninfo).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self._directory / "server.log").read_text()
                assert self._process.poll() is None, (self._directory / "server.log").read_text()
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stops it, its clients' connections with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_START_SECONDS)
            self._process = None

    def database(self) -> str:
        """The URL of a new database."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://postgres@/{name}?host={self._directory}"

    @property
    def _conninfo(self) -> str:
        return f"host={self._directory} user=postgres dbname=postgres"


@contextmanager
def serving() -> Iterator[Postgres]:
    """A server for as long as the block lasts. Skips the test where PostgreSQL isn't installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip(REMEDY)
    binaries = found[-1].parent if found else Path(str(on_path)).resolve().parent
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # a socket's path must be short
    try:
        if os.geteuid() == 0:  # as whom it doesn't run
            shutil.chown(directory, "postgres", "postgres")
        server = Postgres(directory, binaries)
        try:
            server.make()
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


def _as_postgres() -> tuple[str, ...]:
    user = ("--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
    return ("setpriv", *user, "--pdeathsig", "QUIT", "--")
