"""How Delta tables on blob storage are reached, whether that is a directory or an S3 bucket."""

from app.settings import Settings
from app.storage import s3


def storage_options(settings: Settings) -> dict[str, str] | None:
    """What deltalake needs to reach the blob storage. None for a directory.

    A `DeltaTable` that was opened with them passes them on: `to_pyarrow_dataset()` reads from either.
    """
    if not settings.blob_store_url.startswith("s3://"):
        return None
    access, secret = s3.credentials(settings)
    options = {
        "aws_access_key_id": access,
        "aws_secret_access_key": secret,
        "aws_region": settings.s3_region,
        # A commit is a PUT that fails when its version exists: of two concurrent writers one has to try again.
        "aws_conditional_put": "etag",
        "connect_timeout": f"{s3.CONNECT_SECONDS:g}s",
        "timeout": f"{s3.READ_SECONDS:g}s",
        "max_retries": str(s3.MAX_RETRIES),
    }
    if settings.s3_endpoint:
        plain = settings.s3_endpoint.startswith("http://")
        options |= {"aws_endpoint_url": settings.s3_endpoint.rstrip("/"), "aws_allow_http": str(plain).lower()}
    return options
