"""Delta tables on blob storage, whether that is a directory or an S3 bucket: how they are opened and read."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from deltalake import DeltaTable
from pyarrow import fs
from pyarrow.dataset import Dataset

from app import s3
from app.settings import Settings


def storage_options(settings: Settings) -> dict[str, str] | None:
    """What deltalake needs to reach the blob storage. None for a directory."""
    if not settings.blobs.startswith("s3://"):
        return None
    access, secret = s3.keys(settings)
    options = {
        "aws_access_key_id": access,
        "aws_secret_access_key": secret,
        "aws_region": settings.s3_region,
        # A commit is a PUT that fails when its version exists: of two concurrent writers one has to try again.
        "aws_conditional_put": "etag",
        "connect_timeout": f"{s3.CONNECT_SECONDS:g}s",
        "timeout": f"{s3.READ_SECONDS:g}s",
        "max_retries": str(s3.RETRIES),
    }
    if settings.s3_endpoint:
        plain = settings.s3_endpoint.startswith("http://")
        options |= {"aws_endpoint_url": settings.s3_endpoint, "aws_allow_http": str(plain).lower()}
    return options


def dataset(settings: Settings, table: DeltaTable) -> Dataset:
    """A table's rows for Arrow, DuckDB and Polars, read without a detour through Python."""
    return table.to_pyarrow_dataset(filesystem=filesystem(settings, table.table_uri))


def filesystem(settings: Settings, uri: str) -> fs.FileSystem:
    """The file system whose root is at a URI below the blob storage."""
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        return fs.SubTreeFileSystem(str(Path(unquote(parts.path))), fs.LocalFileSystem())
    access, secret = s3.keys(settings)
    endpoint = urlsplit(settings.s3_endpoint)
    remote = fs.S3FileSystem(
        access_key=access,
        secret_key=secret,
        region=settings.s3_region,
        scheme=endpoint.scheme or "https",
        endpoint_override=endpoint.netloc or None,
        connect_timeout=s3.CONNECT_SECONDS,
        request_timeout=s3.READ_SECONDS,
    )
    return fs.SubTreeFileSystem(parts.netloc + parts.path.rstrip("/"), remote)
