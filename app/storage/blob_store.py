"""The blob store of a deployment."""

from urllib.parse import urlsplit

from app.errors import SetupError
from app.settings import Settings
from app.storage.blobs import BlobStore
from app.storage.file_blobs import FileBlobs


def blob_store(settings: Settings) -> BlobStore:
    """Return the storage that HINDSIGHT_BLOB_URL names. Raises SetupError if the URL names none."""
    url = settings.blob_store_url
    url_parts = urlsplit(url)
    if url_parts.scheme == "s3":
        from app.storage.s3 import S3Blobs

        return S3Blobs(settings)
    if url_parts.scheme == "file" and url_parts.netloc in ("", "localhost") and url_parts.path.startswith("/"):
        return FileBlobs(url)
    raise SetupError(
        f"HINDSIGHT_BLOB_URL is not a blob storage: {url!r}.",
        "Use file:///a/directory or s3://bucket/prefix.",
    )
