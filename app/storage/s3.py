"""S3 storage: the client, and blobs in a bucket."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, BinaryIO, cast

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from minio.helpers import check_bucket_name

from app.errors import SetupError
from app.settings import MiB, Settings
from app.storage.blobs import BlobStore, BlobWriter, StorageUnavailable, digest_of, key_of

CONNECT_SECONDS = 3.0
READ_SECONDS = 20.0
MAX_RETRIES = 2
"""Retries bridge a short interruption only: callers wait for the storage themselves, and report it."""

_AWS = "https://s3.amazonaws.com"
_URL = re.compile(r"s3://([a-z0-9.-]+)((?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)/?")
_MAX_MEMORY_BYTES = MiB


def credentials(settings: Settings) -> tuple[str, str]:
    """Return the access key and the secret key."""
    if settings.s3_access_key is None or settings.s3_secret_key is None:
        raise SetupError(
            "There are no keys for the S3 storage.", "Set HINDSIGHT_S3_ACCESS_KEY and HINDSIGHT_S3_SECRET_KEY."
        )
    return settings.s3_access_key.get_secret_value(), settings.s3_secret_key.get_secret_value()


def bucket_and_prefix(settings: Settings) -> tuple[str, str]:
    """Return the bucket, and the prefix of all keys in it: empty, or ending with a slash."""
    with suppress(ValueError):
        if match := _URL.fullmatch(settings.blob_store_url):
            bucket, prefix = match.groups()
            check_bucket_name(bucket, strict=True)
            return bucket, f"{prefix[1:]}/" if prefix else ""
    raise SetupError(
        "HINDSIGHT_BLOB_URL does not name an S3 bucket.",
        "Use s3://bucket or s3://bucket/prefix, with letters, digits, '.', '_' and '-'.",
    )


def create_client(settings: Settings) -> Minio:
    """Return a client with short timeouts: no call lasts for minutes."""
    scheme, _, host = (settings.s3_endpoint or _AWS).partition("://")
    access_key, secret_key = credentials(settings)
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=urllib3.Retry(MAX_RETRIES, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
    )
    try:
        secure = {"http": False, "https": True}[scheme]
        return Minio(
            host.rstrip("/"), access_key, secret_key, secure=secure, region=settings.s3_region, http_client=http
        )
    except (KeyError, ValueError) as error:
        raise SetupError(
            f"HINDSIGHT_S3_ENDPOINT is not a server address: {settings.s3_endpoint!r}.", "Use http(s)://host:port."
        ) from error


class S3Blobs(BlobStore):
    """Blobs in the bucket of an `s3://bucket/prefix` URL."""

    remedy = (
        "Check HINDSIGHT_BLOB_URL, HINDSIGHT_S3_ENDPOINT and HINDSIGHT_S3_REGION, that the server runs, and that the "
        "key of HINDSIGHT_S3_ACCESS_KEY may read and write in the bucket, and create it if it is missing."
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.blob_store_url)
        self._bucket, self._prefix = bucket_and_prefix(settings)
        self._client = create_client(settings)

    def writer(self) -> BlobWriter:
        """Return a writer into memory, or into an unnamed file for large blobs: neither outlives the process."""
        return BlobWriter(tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES), self._publish)

    def exists(self, uri: str) -> bool:
        """Return whether the object exists."""
        key = self._key(digest_of(uri))
        with translate_errors():
            try:
                self._client.stat_object(self._bucket, key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return False
                raise
        return True

    def delete(self, uri: str) -> None:
        """Delete the object."""
        with translate_errors():
            self._client.remove_object(self._bucket, self._key(digest_of(uri)))

    def delete_orphans(self) -> None:
        """Do nothing: S3 writers leave no partial blobs."""

    def size_bytes(self) -> int:
        """Return the total size of all objects in bytes, by listing them."""
        with translate_errors():
            objects = self._client.list_objects(self._bucket, prefix=f"{self._prefix}sha256/", recursive=True)
            return sum(blob.size or 0 for blob in objects)

    def _key(self, digest: str) -> str:
        return self._prefix + key_of(digest)

    def _create(self) -> None:
        with translate_errors():
            if not self._client.bucket_exists(self._bucket):
                try:
                    self._client.make_bucket(self._bucket)
                except S3Error as error:
                    if error.code != "BucketAlreadyOwnedByYou":  # another process created it first
                        raise

    def _read(self, digest: str, limit: int) -> tuple[bytes, int] | None:
        with translate_errors():
            try:
                response = self._client.get_object(self._bucket, self._key(digest))
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
            try:
                data = response.read(limit)
                size = int(response.headers.get("Content-Length", len(data)))
            finally:
                response.close()
                response.release_conn()
        if len(data) < min(limit, size):  # a dying server is not a damaged blob
            raise StorageUnavailable(f"the S3 server sent {len(data)} of {size} bytes")
        return data, size

    def _publish(self, file: IO[bytes], digest: str) -> None:
        size = file.tell()
        file.seek(0)
        with translate_errors():  # in parts of 5 MiB: the object is visible only after the last one
            self._client.put_object(self._bucket, self._key(digest), cast(BinaryIO, file), size, num_parallel_uploads=1)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the errors of the server and of the connection as StorageUnavailable."""
    try:
        yield
    except S3Error as error:
        raise StorageUnavailable(f"the S3 server answered {error.code}: {error.message}") from error
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise StorageUnavailable(f"no S3 server answers: {error}") from error
