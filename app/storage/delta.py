"""Access of Delta tables to blob storage: a directory or an S3 bucket."""

from app.settings import Settings
from app.storage import s3


def storage_options(settings: Settings) -> dict[str, str] | None:
    """Return deltalake's options for the blob storage; None for a directory.

    A `DeltaTable` that was opened with them passes them on: `to_pyarrow_dataset()` reads from either.
    """
    if not settings.blob_store_url.startswith("s3://"):
        return None
    access_key, secret_key = s3.credentials(settings)
    options = {
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "aws_region": settings.s3_region,
        # A commit is a PUT that fails if its version exists: the slower of two concurrent writers has to retry.
        "aws_conditional_put": "etag",
        "connect_timeout": f"{s3.CONNECT_SECONDS:g}s",
        "timeout": f"{s3.READ_SECONDS:g}s",
        "max_retries": str(s3.MAX_RETRIES),
    }
    if settings.s3_endpoint:
        is_plain_http = settings.s3_endpoint.startswith("http://")
        options |= {"aws_endpoint_url": settings.s3_endpoint.rstrip("/"), "aws_allow_http": str(is_plain_http).lower()}
    return options
