from pathlib import Path

import pytest

from app.errors import SetupError
from app.storage.blob_store import blob_store
from tests.support.platform import platform_settings


@pytest.mark.parametrize("url", ["/a/path", "", "file://elsewhere/blobs", "http://x/y", "gs://bucket/blobs"])
def test_an_unknown_storage_is_rejected_with_the_remedy(tmp_path: Path, url: str) -> None:
    settings = platform_settings(tmp_path).model_copy(update={"blob_url": url or "blobs"})
    with pytest.raises(SetupError, match="file:///a/directory or s3://bucket/prefix") as caught:
        blob_store(settings)
    assert repr(settings.blob_store_url) in caught.value.message
