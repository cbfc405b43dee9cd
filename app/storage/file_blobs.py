"""Blobs in a local directory."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from app.storage.blobs import ORPHAN_SECONDS, BlobStore, BlobWriter, digest_of, key_of


class FileBlobs(BlobStore):
    """Blobs in the directory of a `file://` URL."""

    remedy = "Make the directory writable for this user, or set HINDSIGHT_BLOB_URL to another."

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.root = Path(unquote(urlsplit(url).path))
        self._partial = self.root / "partial"

    def writer(self) -> BlobWriter:
        """Return a writer into a temporary file beside the blobs."""
        self._partial.mkdir(parents=True, exist_ok=True)
        return BlobWriter(tempfile.NamedTemporaryFile(dir=self._partial), self._publish)

    def exists(self, uri: str) -> bool:
        """Return whether the file exists."""
        return self.path(uri).is_file()

    def delete(self, uri: str) -> None:
        """Delete the file."""
        path = self.path(uri)
        with suppress(FileNotFoundError):
            path.unlink()
            _fsync_directory(path.parent)

    def delete_orphans(self) -> None:
        """Delete the files of killed writers."""
        with suppress(OSError):  # the next call tries again
            for file in self._partial.iterdir():
                if file.stat().st_mtime < time.time() - ORPHAN_SECONDS:
                    file.unlink()

    def size_bytes(self) -> int:
        """Return the total size of all files in bytes."""
        return sum(_file_sizes(self.root / "sha256"))

    def path(self, uri: str) -> Path:
        """Return the path of a URI, whether the file exists or not. Raises BlobInvalid."""
        return self.root / key_of(digest_of(uri))

    def _create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    def _read(self, digest: str, limit: int) -> tuple[bytes, int] | None:
        try:
            with (self.root / key_of(digest)).open("rb") as file:
                return file.read(limit), os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return None

    def _publish(self, file: IO[bytes], digest: str) -> None:
        path = self.root / key_of(digest)
        file.flush()
        os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        # Replace an existing blob as well: it may be damaged.
        Path(file.name).replace(path)
        for directory in (path.parent, path.parent.parent, self.root):
            _fsync_directory(directory)


def _file_sizes(directory: Path) -> Iterator[int]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:  # a blob may be deleted meanwhile
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _file_sizes(Path(entry.path))
            else:
                yield entry.stat(follow_symlinks=False).st_size


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
