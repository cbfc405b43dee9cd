"""Packages of npm's registry, over HTTP as npm fetches them: most users of Python have no npm.

Registry, credentials, proxy and certificates are those of npm's configuration.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx

from app.errors import SetupError, describe
from app.system.downloads import MAX_ATTEMPTS, TIMEOUT_SECONDS
from app.system.packages.npm_config import DEFAULT_REGISTRY, authorization, read_npm_config, registry_of
from app.system.packages.progress import OnBytes

_PERMANENT = range(400, 408)
"""Answers that another attempt would not change; 408 and 429 ask for one."""
_REMEDY = (
    "Check the network, its proxy (HTTPS_PROXY), and npm's registry (NPM_CONFIG_REGISTRY, ~/.npmrc), then run the same "
    "command again: it keeps what is whole."
)


def download(name: str, folder: Path, on_bytes: OnBytes) -> Path:
    """Fetch a package's tarball into a folder and return its path; resume what is there or is cut off.

    Raises `SetupError`, or OSError if it can't be written.
    """
    config = read_npm_config()
    path, url = folder / "package.tgz", None
    with _open_client(config) as client:
        for attempt in range(MAX_ATTEMPTS):
            try:
                url = url or _tarball_url(client, name, config)
                _receive(client, url, authorization(url, config), path, on_bytes)
                return path
            except httpx.HTTPError as error:
                answer = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
                if answer == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:  # the file of before is not a part of this
                    path.unlink()
                if attempt == MAX_ATTEMPTS - 1 or answer in _PERMANENT:
                    reason = f"the registry answers {answer}" if answer else describe(error)
                    raise SetupError(f"{name} cannot be fetched from npm's registry: {reason}.", _REMEDY) from error
                time.sleep(2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _open_client(config: Mapping[str, str]) -> httpx.Client:
    certificates = httpx.create_ssl_context()
    for path in (config.get("cafile"), os.environ.get("NODE_EXTRA_CA_CERTS")):
        if path and Path(path).is_file():
            certificates.load_verify_locations(path)
    proxy = config.get("https-proxy") or config.get("proxy")  # without either, HTTPS_PROXY and NO_PROXY count
    return httpx.Client(verify=certificates, proxy=proxy, timeout=TIMEOUT_SECONDS, follow_redirects=True)


def _tarball_url(client: httpx.Client, name: str, config: Mapping[str, str]) -> str:
    """Return where the registry says that the tarball is; at the registry itself where a mirror names npm's default."""
    package, _, version = name.rpartition("==")
    registry = registry_of(package, config)
    accept = {"Accept": "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"}
    response = client.get(registry + quote(package, safe="@"), headers=accept | authorization(registry, config))
    response.raise_for_status()
    try:
        url: str = response.json()["versions"][version]["dist"]["tarball"]
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(f"npm's registry has no {name}.", "Correct the package's name or version.") from error
    if urlsplit(url).netloc == urlsplit(DEFAULT_REGISTRY).netloc:
        return registry + urlsplit(url).path.lstrip("/")
    return url


def _receive(client: httpx.Client, url: str, headers: Mapping[str, str], path: Path, on_bytes: OnBytes) -> None:
    """Write a file, or the rest of it if the server can send that alone."""
    received = path.stat().st_size if path.exists() else 0
    wanted = {"Range": f"bytes={received}-"} if received else {}
    with client.stream("GET", url, headers={"Accept-Encoding": "identity", **headers, **wanted}) as response:
        response.raise_for_status()
        received = received if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
        length = response.headers.get("Content-Length")
        total = received + int(length) if length else None
        with path.open("ab" if received else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                received += len(chunk)
                on_bytes(received, total)
