"""Blob storage: payloads too large for Kafka, addressed by their content as `blob://sha256/<hex>`."""

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from app.embedded.errors import SetupError
from models.base import Rejected

_URI = re.compile(r"blob://sha256/([0-9a-f]{64})")


class BlobInvalid(Rejected):
    """A URI that names no blob."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_invalid", message)


class BlobMissing(Rejected):
    """No such blob in this storage."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_missing", message)


class BlobTooLarge(Rejected):
    """A blob above the reader's limit."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_too_large", message)


class BlobCorrupt(Rejected):
    """A blob whose content is not what its address says."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_corrupt", message)


class BlobStore:
    """Blobs below a `file:///directory`. The same content has the same address; a blob is there whole or not at all."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise SetupError(
                f"HINDSIGHT_BLOB_URL is {url!r}: no blob storage that is known.", "Use file:///a/directory."
            )
        self.root = Path(unquote(parts.path))

    def put(self, data: bytes) -> str:
        """Keeps the data, durably, and returns its URI."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def writer(self) -> "Writer":
        """A writer for data that comes in pieces."""
        return Writer(self)

    def get(self, uri: str, max_bytes: int) -> bytes:
        """The data behind a URI, checked. Raises BlobInvalid, BlobMissing, BlobTooLarge or BlobCorrupt."""
        path = self.path(uri)
        try:
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            raise BlobMissing(f"there is no {uri}; send the payload by POST /v1/blobs first") from None
        if len(data) > max_bytes:
            raise BlobTooLarge(f"{uri} has {size} bytes; at most {max_bytes} are read")
        if hashlib.sha256(data).hexdigest() != path.name:
            raise BlobCorrupt(f"{uri} is damaged: its content has another hash; send the payload again")
        return data

    def path(self, uri: str) -> Path:
        """The file of a URI, whether it exists or not. Raises BlobInvalid."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise BlobInvalid(f"{uri[:200]!r} is no blob's URI: blob://sha256/ and 64 hexadecimal digits in lower case")
        digest = match.group(1)
        return self.root / "sha256" / digest[:2] / digest


class Writer:
    """Writes one blob; nothing is seen of it before `commit`, and nothing is left of it without."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self.size = 0
        directory = store.root / "partial"
        directory.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.NamedTemporaryFile(dir=directory, delete=False)  # noqa: SIM115  (closed by __exit__)

    def write(self, data: bytes) -> None:
        """Adds data to the blob."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def commit(self) -> str:
        """Makes the blob durable and visible; returns its URI."""
        uri = f"blob://sha256/{self._hash.hexdigest()}"
        path = self._store.path(uri)
        self._file.flush()
        os.fsync(self._file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        # Also over a blob that is there: if that one is damaged, this heals it.
        Path(self._file.name).replace(path)
        for directory in (path.parent, path.parent.parent, self._store.root):
            _sync(directory)
        return uri

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            Path(self._file.name).unlink()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
