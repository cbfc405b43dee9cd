"""Access to sources by URI: files of this machine, and objects of an S3 server."""

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error

from app.errors import SetupError
from app.importers.payload_files import normalize_path
from app.importers.text import split_lines, transcode
from app.preprocess.files import BLOB_SCHEME, path_of
from app.settings import Settings
from app.storage import s3
from app.storage.blob_store import blob_store
from app.storage.blobs import StorageUnavailable
from models.base import Rejected

S3_SCHEME = "s3://"
_CHUNK_BYTES = 1024 * 1024
_NOT_FOUND_CODES = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}


class SourceReader:
    """Lists and reads the files of a source. Raises OSError if the S3 server is unavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def resolve_root(self, source: str) -> str:
        """Return a source's URI, with a slash at the end for a directory. Raises `SetupError` if it does not exist."""
        if source.startswith(S3_SCHEME):
            return self._resolve_s3_root(source)
        path = path_of(source) if source.startswith("file://") else Path(source)
        if not path.exists():
            raise SetupError(f"{source} does not exist.", "Name a directory, a file or s3://bucket/prefix.")
        return path.resolve().as_uri() + ("/" if path.is_dir() else "")

    def list_files(self, directory: str) -> list[str]:
        """Return the URIs of all files below a directory that are not hidden, in a stable order."""
        if not directory.startswith(S3_SCHEME):
            root = path_of(directory)
            files = (path for path in root.rglob("*") if path.is_file())
            return sorted(path.as_uri() for path in files if not _is_hidden(path.relative_to(root).parts))
        bucket, prefix = _bucket_and_key(directory)
        with s3.translate_errors():
            keys = [item.object_name for item in self._s3_client.list_objects(bucket, prefix, recursive=True)]
        visible = (key for key in keys if key and not _is_hidden(key[len(prefix) :].split("/")))
        return sorted(f"{S3_SCHEME}{bucket}/{key}" for key in visible if not key.endswith("/"))

    def read_lines(self, uri: str) -> Iterator[bytes]:
        """Yield the lines of a text file in UTF-8, as `split_lines` and `transcode` do."""
        with self._open(uri) as file:
            yield from split_lines(transcode(_iterate_chunks(file, sys.maxsize)))

    def read(self, uri: str, limit: int) -> bytes:
        """Return a file or a blob of at most `limit` bytes. Raises `Rejected`."""
        if uri.startswith(BLOB_SCHEME):
            return blob_store(self._settings).get(uri, limit)
        try:
            with self._open(uri) as file:
                data: bytes = b"".join(_iterate_chunks(file, limit + 1))
        except StorageUnavailable:
            raise
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise Rejected("unreadable", f"{uri} can't be read: {reason}") from error
        if len(data) > limit:
            raise Rejected("too_large", f"{uri} has more than {limit:,} bytes")
        return data

    def find(self, base: str, path: str) -> str:
        """Return the URI of a path as `resolve_uri` does; if there are several spellings, of the first that exists.

        Others are Windows' backslashes, and macOS's decomposed characters (NFD). Raises ValueError.
        """
        normalized = normalize_path(path)
        spellings = dict.fromkeys([path, normalized, unicodedata.normalize("NFD", normalized)])
        uris = [resolve_uri(base, spelling) for spelling in spellings]
        return next((uri for uri in uris if len(uris) > 1 and self._exists(uri)), uris[0])

    def _exists(self, uri: str) -> bool:
        if uri.startswith(BLOB_SCHEME):
            return True
        return self._is_object(uri) if uri.startswith(S3_SCHEME) else path_of(uri).exists()

    def _resolve_s3_root(self, source: str) -> str:
        uri = source.rstrip("/")
        try:
            if self._is_object(uri):
                return uri
            if self.list_files(f"{uri}/"):
                return f"{uri}/"
        except (OSError, ValueError) as error:  # a server that refuses, or an invalid name
            raise SetupError(
                f"{source} can't be read: {error}.",
                "Use s3://bucket/prefix; check the server: `hindsight doctor`.",
            ) from error
        raise SetupError(f"There is no object at {source}.", "Check the bucket and the prefix.")

    def _is_object(self, uri: str) -> bool:
        bucket, key = _bucket_and_key(uri)
        if not key:
            return False
        with s3.translate_errors():
            try:
                self._s3_client.stat_object(bucket, key)
            except S3Error as error:
                if error.code in _NOT_FOUND_CODES:
                    return False
                raise
        return True

    @contextmanager
    def _open(self, uri: str) -> Iterator[Any]:
        if not uri.startswith(S3_SCHEME):
            with path_of(uri).open("rb") as file:
                yield file
            return
        bucket, key = _bucket_and_key(uri)
        with s3.translate_errors():
            try:
                response = self._s3_client.get_object(bucket, key)
            except S3Error as error:
                if error.code in _NOT_FOUND_CODES:
                    raise FileNotFoundError(0, "there is no such object") from error
                raise
            try:
                yield response
            finally:
                response.close()
                response.release_conn()

    @cached_property
    def _s3_client(self) -> Minio:
        return s3.create_client(self._settings)


def resolve_uri(base: str, path: str) -> str:
    """Return the URI of a path relative to the file `base`; a URI is returned unchanged. Raises ValueError."""
    if path.startswith((S3_SCHEME, BLOB_SCHEME, "file:///")):
        return path
    if "://" in path or "\0" in path:
        raise ValueError("a path, file:///, s3:// or blob:// is needed")
    folder = base.rpartition("/")[0]
    if base.startswith(S3_SCHEME):
        bucket, key = _bucket_and_key(f"{folder}/")
        return f"{S3_SCHEME}{bucket}/{os.path.normpath(f'/{key}{path}').lstrip('/')}"
    return Path(os.path.normpath(path_of(folder) / path)).as_uri()


def uris_by_path(uris: Iterable[str], directory: str) -> dict[str, str]:
    """Return URIs by their paths below a directory."""
    if directory.startswith(S3_SCHEME):
        return {uri.removeprefix(directory): uri for uri in uris}
    root = path_of(directory)
    return {path_of(uri).relative_to(root).as_posix(): uri for uri in uris}


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
    if not bucket or not urlsplit(uri).netloc:
        raise ValueError(f"{uri} has no bucket: s3://bucket/key is needed")
    return bucket, key


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(".") for part in parts)


def _iterate_chunks(file: Any, limit: int) -> Iterator[bytes]:
    """Yield the file's content up to `limit` bytes: a server may return less than requested."""
    while limit > 0 and (piece := file.read(min(limit, _CHUNK_BYTES))):
        yield piece
        limit -= len(piece)
