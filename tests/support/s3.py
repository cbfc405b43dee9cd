"""Real S3 servers for tests, and fixtures that run a test on every kind of blob storage.

moto's server comes with the development dependencies; MinIO is a second one if it is on PATH.
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.embedded import ports
from app.settings import CHECKOUT, Settings
from app.storage import s3
from app.system import parent_death
from tests.support.platform import platform_settings

__all__ = [
    "SERVER_KINDS",
    "S3Server",
    "mortal_s3",
    "run_server",
    "s3_server",
    "s3_servers",
    "storage",
    "storage_settings",
]

_START_SECONDS = 60.0
_PATHS = (os.environ.get("PATH", os.defpath), os.environ.get("GOBIN", ""), str(Path.home() / "go" / "bin"))
_MINIO = shutil.which("minio", path=os.pathsep.join(filter(None, _PATHS)))

SERVER_KINDS = ("moto", "minio") if _MINIO else ("moto",)
"""The available S3 servers."""


class S3Server(ABC):
    """An S3 server on a free port, with keys of its own."""

    access_key: str
    secret_key: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = ports.free_port()
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> None:
        """Start the server, with the objects that it had before, and wait until it serves."""

    @abstractmethod
    def kill(self) -> None:
        """Stop answering at once, as after a crash."""

    @abstractmethod
    def close(self) -> None:
        """End its process."""

    def bucket(self) -> dict[str, Any]:
        """Make a bucket and return its settings."""
        overrides = self.overrides(f"test-{uuid.uuid4().hex}")
        s3.create_client(Settings(**overrides)).make_bucket(s3.bucket_and_prefix(Settings(**overrides))[0])
        return overrides

    def overrides(self, bucket: str) -> dict[str, Any]:
        """Return the settings of a bucket that need not exist."""
        return {
            "blob_url": f"s3://{bucket}/a/prefix",
            "s3_endpoint": f"http://127.0.0.1:{self.port}",
            "s3_access_key": SecretStr(self.access_key),
            "s3_secret_key": SecretStr(self.secret_key),
        }


class Moto(S3Server):
    """moto's server. It holds its objects in memory, so a kill closes its listener and leaves the process."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with (directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.moto_server", str(self.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=CHECKOUT,
                text=True,
            )
        self.access_key, self.secret_key = self._line().split()

    def start(self) -> None:
        """Open its listener."""
        self._toggle("listening")

    def kill(self) -> None:
        """Close its listener."""
        self._toggle("stopped")

    def close(self) -> None:
        """End its process."""
        self._process.communicate()

    def _toggle(self, expected: str) -> None:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        assert self._line() == expected

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, f"moto's server has ended: {(self.directory / 'server.log').read_text()}"
        return line


class MinIO(S3Server):
    """A MinIO server, whose objects are on disk."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.access_key, self.secret_key = secrets.token_hex(8), secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its process."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())),  # it ends with the tests
                    *(str(_MINIO), "server", "--address", f"127.0.0.1:{self.port}"),
                    *("--certs-dir", str(self.directory / "certs"), str(self.directory / "data")),
                ],
                env=os.environ
                | {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}
                | {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(self.directory)},
                stdout=log,
                stderr=log,
            )
        self._wait(self._process)

    def kill(self) -> None:
        """Kill its process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    close = kill

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with httpx.Client(trust_env=False) as http:
            while True:
                output = (self.directory / "server.log").read_text()
                assert process.poll() is None, f"MinIO has ended: {output}"
                assert time.monotonic() < deadline, f"MinIO does not answer: {output}"
                try:
                    if http.get(f"http://127.0.0.1:{self.port}/minio/health/ready").is_success:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)


@contextmanager
def run_server(kind: str, directory: Path) -> Iterator[S3Server]:
    """Run a server for as long as the block lasts; the test may kill and start it."""
    server = {"moto": Moto, "minio": MinIO}[kind](directory)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def s3_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """The shared server of each kind, started at its first use. Do not kill it."""
    servers: dict[str, S3Server] = {}
    with ExitStack() as stack:

        def server(kind: str) -> S3Server:
            if kind not in servers:
                servers[kind] = stack.enter_context(run_server(kind, tmp_path_factory.mktemp(kind)))
            return servers[kind]

        yield server


@pytest.fixture(params=SERVER_KINDS)
def s3_server(request: pytest.FixtureRequest, s3_servers: Callable[[str], S3Server]) -> S3Server:
    """The shared server: the test is run with each kind."""
    return s3_servers(request.param)


@pytest.fixture(scope="module", params=SERVER_KINDS)
def mortal_s3(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that the tests of one module may kill and start again."""
    with run_server(request.param, tmp_path_factory.mktemp("mortal_s3")) as server:
        yield server


@pytest.fixture(params=["file", *SERVER_KINDS])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty blob storage: the test runs with a directory, and with a bucket of each server."""
    return storage_settings(request, tmp_path)


def storage_settings(request: pytest.FixtureRequest, directory: Path, **overrides: Any) -> Settings:
    """Return the settings of `storage`, for fixtures of another scope with the same params."""
    if request.param == "file":
        location: dict[str, Any] = {"blob_url": (directory / "blobs #1").as_uri()}
    else:
        location = request.getfixturevalue("s3_servers")(request.param).bucket()
    return platform_settings(directory, **location | overrides)
