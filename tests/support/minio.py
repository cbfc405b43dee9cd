"""A real S3 server for tests, and blob storages of both kinds on which the same test is run."""

import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app import s3
from app.embedded import leash, ports
from app.settings import Settings
from tests.support.platform import platform_settings

__all__ = ["S3Server", "mortal_s3", "s3_server", "serving", "storage", "storage_settings"]

_START_SECONDS = 60.0


class S3Server:
    """A MinIO server on a port of its own, with keys of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = ports.free_port()
        self.access_key, self.secret_key = secrets.token_hex(8), secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._binary = binary()

    def start(self) -> None:
        """Starts it, or starts it again with what it held, and waits until it serves."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid())),  # it ends with the tests
                    *(self._binary, "server", "--address", f"127.0.0.1:{self.port}"),
                    *("--certs-dir", str(self.directory / "certs"), str(self.directory / "data")),
                ],
                env=os.environ
                | {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}
                | {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(self.directory)},
                stdout=log,
                stderr=log,
            )
        self._wait()

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def bucket(self) -> dict[str, Any]:
        """The settings of a new bucket."""
        overrides = self.overrides(f"test-{uuid.uuid4().hex}")
        s3.client(Settings(**overrides)).make_bucket(s3.location(Settings(**overrides))[0])
        return overrides

    def overrides(self, bucket: str) -> dict[str, Any]:
        """The settings of a bucket that need not exist."""
        return {
            "blob_url": f"s3://{bucket}/a/prefix",
            "s3_endpoint": f"http://127.0.0.1:{self.port}",
            "s3_access_key": SecretStr(self.access_key),
            "s3_secret_key": SecretStr(self.secret_key),
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with httpx.Client(trust_env=False) as http:
            while True:
                said = (self.directory / "server.log").read_text()
                assert self._process is not None
                assert self._process.poll() is None, f"MinIO has ended: {said}"
                assert time.monotonic() < deadline, f"MinIO does not answer: {said}"
                try:
                    if http.get(f"http://127.0.0.1:{self.port}/minio/health/ready").is_success:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)


def binary() -> str:
    """The MinIO server's executable. Skips the test where there is none."""
    places = [os.environ.get("PATH", os.defpath), os.environ.get("GOBIN", ""), str(Path.home() / "go" / "bin")]
    if (found := shutil.which("minio", path=os.pathsep.join(filter(None, places)))) is None:
        pytest.skip("there is no S3 server to test with: `go install github.com/minio/minio@latest`")
    return found


@contextmanager
def serving(directory: Path) -> Iterator[S3Server]:
    """A server of one's own, to be killed and started at will."""
    server = S3Server(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that is shared: let it live."""
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def mortal_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that the tests of one module kill, and start again."""
    with serving(tmp_path_factory.mktemp("mortal_s3")) as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty blob storage: the test is run with a directory, and with a bucket."""
    return storage_settings(request, tmp_path)


def storage_settings(request: pytest.FixtureRequest, directory: Path, **overrides: Any) -> Settings:
    """What `storage` gives, for fixtures of another scope, which have the same params."""
    kinds: Mapping[str, Any] = {
        "file": lambda: {"blob_url": (directory / "blobs #1").as_uri()},
        "s3": lambda: request.getfixturevalue("s3_server").bucket(),
    }
    return platform_settings(directory, **kinds[request.param]() | overrides)
