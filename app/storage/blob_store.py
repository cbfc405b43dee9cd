"""The blob store of a deployment."""

from urllib.parse import urlsplit

from app.errors import SetupError
from app.settings import Settings
from app.storage.blobs import BlobStore
from app.storage.files import FileBlobs


def blob_store(settings: Settings) -> BlobStore:
    """The storage that HINDSIGHT_BLOB_URL names. A SetupError when it names none."""
    url = settings.blob_store_url
    parts = urlsplit(url)
    if parts.scheme == "s3":
        from app.storage.s3 import S3Blobs

        return S3Blobs(settings)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return FileBlobs(url)
    raise SetupError(
        f"HINDSIGHT_BLOB_URL is {url!r}: no blob storage that is known.",
        "Use file:///a/directory or s3://bucket/prefix.",
    )
