import errno
import hashlib
import os
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from app.api.app import create_app
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobWriter
from app.storage.file_blobs import FileBlobs
from tests.support.asgi_client import serve_app
from tests.support.s3 import SERVER_KINDS, storage_settings

PAYLOAD = bytes(range(256))


@pytest.fixture(scope="module", params=["file", *SERVER_KINDS])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return storage_settings(request, tmp_path_factory.mktemp("storage"), max_blob_bytes=1000)


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API without a broker, on each kind of storage."""
    async with serve_app(create_app(settings)) as client:
        yield client


async def test_a_payload_is_stored_under_its_digest(http: httpx.AsyncClient, settings: Settings) -> None:
    response = await http.post("/v1/blobs", content=PAYLOAD)
    assert response.status_code == 201
    digest = hashlib.sha256(PAYLOAD).hexdigest()
    assert response.json() == {"uri": f"blob://sha256/{digest}", "size": 256, "sha256": digest}
    assert blob_store(settings).get(response.json()["uri"], 1000) == PAYLOAD


async def test_a_form_with_a_file_is_the_same_payload(http: httpx.AsyncClient) -> None:
    raw = await http.post("/v1/blobs", content=PAYLOAD)
    form = await http.post("/v1/blobs", files={"file": ("a.bin", PAYLOAD)}, data={"note": "ignored"})
    assert form.status_code == 201
    assert form.json() == raw.json()


@pytest.mark.parametrize("size", [1001, 100_000])
@pytest.mark.parametrize("encoding", ["raw", "chunked", "form"])
async def test_a_payload_above_the_limit_is_refused(http: httpx.AsyncClient, size: int, encoding: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    if encoding == "form":
        response = await http.post("/v1/blobs", files={"file": b"x" * size})
    else:
        response = await http.post("/v1/blobs", content=b"x" * size if encoding == "raw" else chunks())
    assert response.status_code == 413
    assert "too large: at most" in response.json()["detail"]


async def test_uploads_above_the_quota_are_refused_with_the_setting_that_raises_it(brokerless: Settings) -> None:
    config = brokerless.model_copy(update={"blob_gib": 100 / 2**30})
    async with serve_app(create_app(config)) as http:
        assert (await http.post("/v1/blobs", content=b"q" * 1000)).status_code == 201
        refused = await http.post("/v1/blobs", content=b"r")
    assert (refused.status_code, "HINDSIGHT_BLOB_GIB" in refused.json()["detail"]) == (507, True)


async def test_a_refused_payload_leaves_no_partial_file(brokerless: Settings) -> None:
    async with serve_app(create_app(brokerless)) as http:
        await http.post("/v1/blobs", content=b"y" * 1001)
    assert list((FileBlobs(brokerless.blob_store_url).root / "partial").iterdir()) == []


async def test_the_api_removes_partial_files_of_killed_processes_at_its_start(brokerless: Settings) -> None:
    orphan = FileBlobs(brokerless.blob_store_url).root / "partial" / "orphan"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.touch()
    os.utime(orphan, (0, 0))
    async with serve_app(create_app(brokerless)):
        assert not orphan.exists()


async def test_a_payload_at_the_limit_is_stored(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/blobs", content=b"z" * 1000)).status_code == 201


@pytest.mark.parametrize("files", [None, {"file": b""}])
async def test_an_empty_payload_is_refused(http: httpx.AsyncClient, files: dict[str, bytes] | None) -> None:
    response = await http.post("/v1/blobs", files=files)
    assert response.status_code == 422
    assert response.json() == {"detail": "the payload is empty"}


@pytest.mark.parametrize("boundary", ["; boundary=b", ""])
async def test_a_malformed_form_is_refused(http: httpx.AsyncClient, boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data{boundary}"}
    response = await http.post("/v1/blobs", headers=headers, content=b"--b\r\n234374--b--\r\n")
    assert response.status_code == 400


async def test_a_full_storage_is_reported_with_its_reason(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: BlobWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BlobWriter, "write", fail)
    response = await http.post("/v1/blobs", content=b"payload")
    assert response.status_code == 507
    assert response.json() == {"detail": "the blob storage can't be written: No space left on device"}


async def test_an_unavailable_storage_is_reported_with_its_reason(brokerless: Settings) -> None:
    unreachable = {"blob_url": "s3://bucket", "s3_endpoint": "http://127.0.0.1:1"}
    keys = {"s3_access_key": SecretStr("access"), "s3_secret_key": SecretStr("secret")}
    async with serve_app(create_app(brokerless.model_copy(update=unreachable | keys))) as http:
        response = await http.post("/v1/blobs", content=PAYLOAD)
    assert response.status_code == 503
    assert "the blob storage is unavailable: no S3 server answers: " in response.json()["detail"]
