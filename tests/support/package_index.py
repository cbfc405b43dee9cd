"""An index of Python packages and a registry of npm in one, on a free port, which may cut off or hold downloads."""

import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest


class PackageIndex:
    """The packages by their names, and what was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.archives: dict[str, bytes] = {}
        self.tarball_hosts: dict[str, str] = {}
        """The host that the registry names for a package's tarball, if it is not itself."""
        self.downloads: list[tuple[str, str | None]] = []
        """The name of each archive that was asked for, and the `Range`."""
        self.tokens: list[str | None] = []
        """The `Authorization` of each request."""
        self.cuts = 0
        """How many of the next downloads end in the middle."""
        self.failures: list[int] = []
        """The statuses that the next requests get."""
        self.ranges = True
        """Whether a part of an archive can be asked for."""
        self.held = threading.Event()
        self.held.set()
        """While it is clear, downloads stop in the middle."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead pip and npm here."""
        return {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": "",
            "PIP_INDEX_URL": f"{self.url}/simple/",
            "PIP_RETRIES": "1",
            "NPM_CONFIG_REGISTRY": f"{self.url}/npm",
            "NPM_CONFIG_USERCONFIG": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }

    def add_wheel(self, name: str, version: str, files: Mapping[str, bytes], platform: str = "any") -> None:
        """Publish a wheel."""
        info = f"{name}-{version}.dist-info"
        metadata = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-{platform}\n".encode(),
            f"{info}/RECORD": b"",
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as wheel:
            for path, data in {**files, **metadata}.items():
                wheel.writestr(path, data)
        self.archives[f"{name}-{version}-py3-none-{platform}.whl"] = content.getvalue()

    def add_tarball(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Publish a package of npm."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as tarball:
            for path, data in files.items():
                member = tarfile.TarInfo(f"package/{path}")
                member.size = len(data)
                tarball.addfile(member, io.BytesIO(data))
        self.archives[f"{name}-{version}.tgz"] = content.getvalue()

    def page(self, path: str) -> bytes | None:
        """Return what the index says of a package; None of one that it does not have."""
        kind, _, name = unquote(path).strip("/").partition("/")
        names = [archive for archive in self.archives if archive.startswith(f"{name}-")]
        if kind == "simple":
            return "".join(f'<a href="/files/{file}">{file}</a>' for file in names).encode() if names else None
        host = self.tarball_hosts.get(name, self.url)
        versions = {
            file.removeprefix(f"{name}-").removesuffix(".tgz"): {"dist": {"tarball": f"{host}/npm/{file}"}}
            for file in names
        }
        return json.dumps({"name": name, "versions": versions}).encode() if versions else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    index: PackageIndex

    def do_GET(self) -> None:
        self.index.tokens.append(self.headers["Authorization"])
        name = unquote(self.path).removeprefix("/files/").removeprefix("/npm/")
        if self.index.failures:
            self._answer(self.index.failures.pop(0), b"")
        elif name in self.index.archives:
            self._send_archive(name)
        elif page := self.index.page(self.path):
            self._answer(200, page)
        else:
            self._answer(404, b"")

    def _send_archive(self, name: str) -> None:
        content, wanted = self.index.archives[name], self.headers["Range"]
        self.index.downloads.append((name, wanted))
        if wanted and self.index.ranges:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                self._answer(416, b"")
                return
            self._answer(206, content[start:], {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})
            return
        cut = self.index.cuts > 0
        self.index.cuts -= cut
        self._answer(200, content, {"Accept-Ranges": "bytes", "ETag": '"1"'}, cut or not self.index.held.is_set())
        if cut:
            self.close_connection = True
        elif not self.index.held.is_set():
            self.index.held.wait(60)
            self.wfile.write(content[len(content) // 2 :])

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, half: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if "/simple/" in self.path else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def package_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PackageIndex]:
    """An empty index, to which pip's and npm's configuration of this test leads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    index = PackageIndex(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass.index = index  # type: ignore[attr-defined]
    for name, value in index.environment.items():
        monkeypatch.setenv(name, value)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield index
    index.held.set()
    server.shutdown()
    server.server_close()
