"""Blob storage: payloads too large for Kafka, addressed by their content as `blob://sha256/<hex>`.

One `BlobStore` whether the blobs are files of a directory or objects of an S3 bucket. A storage that is away, full or
refuses us raises OSError, so that whoever needs it waits; what is wrong with a blob or its URI is a `Rejected`.
"""

import errno
import hashlib
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from app.errors import SetupError
from models.base import Rejected

_URI = re.compile(r"blob://sha256/([0-9a-f]{64})")
_PROBE_DATA = b"hindsight"
_ORPHAN_SECONDS = 24 * 3600.0
"""A partial blob that was not written to for so long is what a killed process left."""
_MEASURED_SECONDS = 3600.0
"""How often a quota measures: what others write, the archive first, counts by then."""


class BlobInvalid(Rejected):
    """A URI that names no blob."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_invalid", message)


class BlobMissing(Rejected):
    """No such blob in this storage."""

    def __init__(self, uri: str) -> None:
        super().__init__("blob_missing", f"there is no {uri}; send the payload by POST /v1/blobs first")


class BlobTooLarge(Rejected):
    """A blob above the reader's limit."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_too_large", message)


class BlobCorrupt(Rejected):
    """A blob whose content is not what its address says."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_corrupt", message)


class StorageUnavailable(OSError):
    """The server of the storage can't be reached, or refuses what is asked of it."""


class BlobStore(ABC):
    """The same content has the same address; a blob is there whole or not at all. Threads may share a store."""

    remedy: str
    """What to do about a storage that can't be used."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, data: bytes) -> str:
        """Keeps the data, durably, and returns its URI."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    @abstractmethod
    def writer(self) -> "BlobWriter":
        """A writer for data that comes in pieces."""

    def get(self, uri: str, max_bytes: int) -> bytes:
        """The data behind a URI, checked. Raises BlobInvalid, BlobMissing, BlobTooLarge or BlobCorrupt."""
        digest = digest_of(uri)
        found = self._read(digest, max_bytes + 1)
        if found is None:
            raise BlobMissing(uri)
        data, size = found
        if len(data) > max_bytes:
            raise BlobTooLarge(f"{uri} has {size} bytes; at most {max_bytes} are read")
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobCorrupt(f"{uri} is damaged: its content has another hash; send the payload again")
        return data

    @abstractmethod
    def exists(self, uri: str) -> bool:
        """Whether there is such a blob. Raises BlobInvalid."""

    @abstractmethod
    def delete(self, uri: str) -> None:
        """Forgets a blob, if there is one. Raises BlobInvalid."""

    def prepare(self) -> None:
        """Makes the directory or the bucket if it is missing, writes and reads. A SetupError when that fails."""
        try:
            self._make()
            self.get(self.put(_PROBE_DATA), len(_PROBE_DATA))
        except (OSError, Rejected) as error:
            raise SetupError(f"The blob storage {self.url} can't be used: {error}.", self.remedy) from error

    @abstractmethod
    def delete_orphans(self) -> None:
        """Removes what killed writers have left."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Bytes of all blobs together: each is looked at."""

    @abstractmethod
    def _make(self) -> None:
        """Makes the directory or the bucket if it is missing."""

    @abstractmethod
    def _read(self, digest: str, limit: int) -> tuple[bytes, int] | None:
        """All of a blob or its first `limit` bytes, and its whole size; None where there is none."""


class BlobWriter:
    """Writes one blob; nothing is seen of it before `commit`, and nothing is left of it without."""

    def __init__(self, file: IO[bytes], publish: Callable[[IO[bytes], str], None]) -> None:
        self._file = file
        self._publish = publish
        self._hash = hashlib.sha256()
        self.size = 0
        self.on_commit: Callable[[int], None] | None = None
        """Told the size once the blob is visible."""

    def write(self, data: bytes) -> None:
        """Adds data to the blob."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def commit(self) -> str:
        """Makes the blob durable and visible; returns its URI."""
        digest = self._hash.hexdigest()
        self._publish(self._file, digest)
        if self.on_commit is not None:
            self.on_commit(self.size)
        return f"blob://sha256/{digest}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):  # it removes the file, which has another name once it is published
            self._file.close()


class BlobQuota:
    """Writers into a storage while it holds less than `most` bytes. Its size is measured now and then, and kept up."""

    def __init__(self, store: BlobStore, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._size = 0
        self._measured: float | None = None
        self._lock = threading.Lock()

    def writer(self) -> BlobWriter:
        """A writer. Raises OSError (ENOSPC) once the quota is used up, and as the storage does."""
        with self._lock:
            if self._measured is None or time.monotonic() >= self._measured + _MEASURED_SECONDS:
                self._size, self._measured = self._store.size_bytes(), time.monotonic()
            if self._size >= self._max_bytes:
                used = (
                    f"it holds {self._size:,} bytes; uploads are taken below {self._max_bytes:,} (HINDSIGHT_BLOB_GIB)"
                )
                raise OSError(errno.ENOSPC, used)
        writer = self._store.writer()
        writer.on_commit = self._add
        return writer

    def _add(self, size: int) -> None:
        with self._lock:
            self._size += size


def digest_of(uri: str) -> str:
    """The hash in a URI. Raises BlobInvalid."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise BlobInvalid(f"{uri[:200]!r} is no blob's URI: blob://sha256/ and 64 hexadecimal digits in lower case")
    return match.group(1)


def key_of(digest: str) -> str:
    """The name of a blob, the same in a directory and in a bucket: one can be copied to the other."""
    return f"sha256/{digest[:2]}/{digest}"
