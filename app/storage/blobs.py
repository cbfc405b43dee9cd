"""Blob storage: payloads too large for Kafka, addressed by their content as `blob://sha256/<hex>`.

One `BlobStore` interface for files in a directory and objects in an S3 bucket. A storage that is unreachable, full or
denies access raises OSError, so that the caller waits. An invalid URI or blob raises `Rejected`.
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
ORPHAN_SECONDS = 24 * 3600.0
"""A partial blob that was not written to for this long was left by a killed process."""
_SIZE_CACHE_SECONDS = 3600.0
"""Time after which a quota measures the storage again, to count what others write, above all the archive."""


class BlobInvalid(Rejected):
    """A URI that is not a blob's."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_invalid", message)


class BlobMissing(Rejected):
    """No blob with this URI in the storage."""

    def __init__(self, uri: str) -> None:
        super().__init__("blob_missing", f"there is no {uri}; send the payload by POST /v1/blobs first")


class BlobTooLarge(Rejected):
    """A blob above the reader's limit."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_too_large", message)


class BlobCorrupt(Rejected):
    """A blob whose content does not match its address."""

    def __init__(self, message: str) -> None:
        super().__init__("blob_corrupt", message)


class StorageUnavailable(OSError):
    """The storage server is unreachable, or refuses the request."""


class BlobStore(ABC):
    """Content-addressed blobs. A blob is visible completely or not at all. Threads may share a store."""

    remedy: str
    """The remedy for a storage that can't be used."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, data: bytes) -> str:
        """Store the data durably; return its URI."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    @abstractmethod
    def writer(self) -> "BlobWriter":
        """Return a writer for data that arrives in pieces."""

    def get(self, uri: str, max_bytes: int) -> bytes:
        """Return the data of a URI, verified. Raises BlobInvalid, BlobMissing, BlobTooLarge or BlobCorrupt."""
        digest = digest_of(uri)
        content = self._read(digest, max_bytes + 1)
        if content is None:
            raise BlobMissing(uri)
        data, size = content
        if len(data) > max_bytes:
            raise BlobTooLarge(f"{uri} has {size} bytes; at most {max_bytes} are read")
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobCorrupt(f"{uri} is damaged: its content has another hash; send the payload again")
        return data

    @abstractmethod
    def exists(self, uri: str) -> bool:
        """Return whether the blob exists. Raises BlobInvalid."""

    @abstractmethod
    def delete(self, uri: str) -> None:
        """Delete the blob if it exists. Raises BlobInvalid."""

    def prepare(self) -> None:
        """Create the directory or bucket if it is missing, then write and read a blob. Raises SetupError on failure."""
        try:
            self._create()
            self.get(self.put(_PROBE_DATA), len(_PROBE_DATA))
        except (OSError, Rejected) as error:
            raise SetupError(f"The blob storage {self.url} can't be used: {error}.", self.remedy) from error

    @abstractmethod
    def delete_orphans(self) -> None:
        """Delete the partial blobs of killed writers."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Return the total size of all blobs in bytes. Slow: each blob is listed."""

    @abstractmethod
    def _create(self) -> None:
        """Create the directory or the bucket if it is missing."""

    @abstractmethod
    def _read(self, digest: str, limit: int) -> tuple[bytes, int] | None:
        """Return the first `limit` bytes of a blob, and its total size; None if there is no such blob."""


class BlobWriter:
    """Writer of one blob. The blob becomes visible by `commit`; without it nothing remains."""

    def __init__(self, file: IO[bytes], publish: Callable[[IO[bytes], str], None]) -> None:
        self._file = file
        self._publish = publish
        self._hash = hashlib.sha256()
        self.size = 0
        self.on_commit: Callable[[int], None] | None = None
        """Called with the size once the blob is visible."""

    def write(self, data: bytes) -> None:
        """Append data to the blob."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def commit(self) -> str:
        """Make the blob durable and visible; return its URI."""
        digest = self._hash.hexdigest()
        self._publish(self._file, digest)
        if self.on_commit is not None:
            self.on_commit(self.size)
        return f"blob://sha256/{digest}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):  # close() deletes the file, which a commit has renamed
            self._file.close()


class BlobQuota:
    """Writers into a storage while it holds less than `max_bytes`. The size is measured periodically."""

    def __init__(self, store: BlobStore, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._size = 0
        self._measured: float | None = None
        self._lock = threading.Lock()

    def writer(self) -> BlobWriter:
        """Return a writer. Raises OSError (ENOSPC) once the quota is used up, and as the storage does."""
        with self._lock:
            if self._measured is None or time.monotonic() >= self._measured + _SIZE_CACHE_SECONDS:
                self._size, self._measured = self._store.size_bytes(), time.monotonic()
            if self._size >= self._max_bytes:
                reason = (
                    f"it holds {self._size:,} bytes; uploads are taken below {self._max_bytes:,} (HINDSIGHT_BLOB_GIB)"
                )
                raise OSError(errno.ENOSPC, reason)
        writer = self._store.writer()
        writer.on_commit = self._add
        return writer

    def _add(self, size: int) -> None:
        with self._lock:
            self._size += size


def digest_of(uri: str) -> str:
    """Return the hash in a URI. Raises BlobInvalid."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise BlobInvalid(f"{uri[:200]!r} is not a blob URI: use blob://sha256/ and 64 lower-case hexadecimal digits")
    return match.group(1)


def key_of(digest: str) -> str:
    """Return the name of a blob: the same in a directory and in a bucket, so that one can be copied to the other."""
    return f"sha256/{digest[:2]}/{digest}"
