import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from pydantic import SecretStr

from app.errors import SetupError
from app.preprocess import claim_checks
from app.settings import MiB, Settings
from app.storage import s3
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobStore, StorageUnavailable
from tests.support.s3 import S3Server

KEYS: dict[str, Any] = {"s3_access_key": SecretStr("access"), "s3_secret_key": SecretStr("secret")}
MISSING = "blob://sha256/" + "0" * 64


def test_the_blobs_of_a_killed_server_are_back_after_its_restart(mortal_s3: S3Server) -> None:
    store = blob_store(Settings(**mortal_s3.bucket()))
    uri = store.put(b"before")
    mortal_s3.kill()
    for call in (lambda: store.put(b"during"), lambda: store.get(uri, 10), lambda: store.exists(uri)):
        with pytest.raises(StorageUnavailable, match="no S3 server answers"):
            call()
    with pytest.raises(StorageUnavailable):
        store.delete(uri)
    with pytest.raises(SetupError, match="no S3 server answers") as caught:
        store.prepare()
    assert "HINDSIGHT_S3_ENDPOINT" in caught.value.remedy
    mortal_s3.start()
    assert store.get(uri, 10) == b"before"


def test_the_flink_job_waits_for_a_server_that_is_down(mortal_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_checks, "_RETRY_SECONDS", 0.01)
    store = blob_store(Settings(**mortal_s3.bucket()))
    uri = store.put(b"patience")
    mortal_s3.kill()
    waited = threading.Event()
    monkeypatch.setattr(claim_checks.log, "warning", lambda *_: waited.set())
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(claim_checks.retry_forever(store.get), uri, 100)
        assert waited.wait(60)
        assert not reading.done()
        mortal_s3.start()
        assert reading.result(60) == b"patience"


def test_a_missing_bucket_makes_the_storage_unavailable_until_it_is_created(s3_server: S3Server) -> None:
    store = blob_store(Settings(**s3_server.overrides("not-yet-there")))
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        store.get(MISSING, 10)
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        store.put(b"too early")
    store.prepare()
    store.put(b"in time")


def test_a_wrong_key_is_reported_with_the_remedy(s3_server: S3Server) -> None:
    settings = Settings(**s3_server.bucket() | {"s3_secret_key": SecretStr("wrong")})
    with pytest.raises(SetupError, match="can't be used") as caught:
        blob_store(settings).prepare()
    assert "HINDSIGHT_S3_ACCESS_KEY" in caught.value.remedy
    with pytest.raises(StorageUnavailable, match="SignatureDoesNotMatch"):
        blob_store(settings).put(b"refused")


def test_deployments_share_a_bucket_by_prefix(s3_server: S3Server) -> None:
    first_settings = s3_server.bucket()
    second_settings = first_settings | {"blob_url": first_settings["blob_url"] + "/other"}
    uri = blob_store(Settings(**first_settings)).put(b"ours")
    assert not blob_store(Settings(**second_settings)).exists(uri)


def test_a_large_blob_is_invisible_when_the_server_dies_during_its_upload(mortal_s3: S3Server) -> None:
    store = blob_store(Settings(**mortal_s3.bucket()))
    data = bytes(20 * MiB)
    with store.writer() as writer:
        writer.write(data)
        mortal_s3.kill()
        with pytest.raises(StorageUnavailable):
            writer.commit()
    mortal_s3.start()
    assert not store.exists(f"blob://sha256/{hashlib.sha256(data).hexdigest()}")


def test_a_truncated_response_is_not_a_damaged_blob() -> None:
    with (
        store_with_response(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this") as store,
        pytest.raises(StorageUnavailable),
    ):
        store.get(MISSING, 1000)


def test_a_response_of_another_kind_of_server_makes_the_storage_unavailable() -> None:
    with (
        store_with_response(b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nhi") as store,
        pytest.raises(StorageUnavailable),
    ):
        store.get(MISSING, 1000)


@contextmanager
def store_with_response(response: bytes) -> Iterator[BlobStore]:
    """Yield a store whose server sends this response to every request and closes the connection."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(response)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield blob_store(Settings(blob_url="s3://bucket", s3_endpoint=endpoint(server.server_address[1]), **KEYS))
        finally:
            server.shutdown()
            thread.join()


def endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://UPPER",
        "s3://ab",
        "s3://1.2.3.4",
        "s3://a..b",
        "s3://bucket?x=1",
        "s3://bucket/a b",
        "s3://bucket/../x",
        "s3://me:secret@bucket/x",
    ],
)
def test_a_url_that_names_no_bucket_is_rejected(url: str) -> None:
    with pytest.raises(SetupError, match="does not name an S3 bucket"):
        blob_store(Settings(blob_url=url, **KEYS))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a/b.c", ("bucket", "a/b.c/")),
        ("s3://bucket/a/", ("bucket", "a/")),
    ],
)
def test_a_url_is_a_bucket_and_a_prefix(url: str, expected: tuple[str, str]) -> None:
    assert s3.bucket_and_prefix(Settings(blob_url=url)) == expected


def test_missing_keys_are_reported_by_their_settings() -> None:
    with pytest.raises(SetupError, match="HINDSIGHT_S3_ACCESS_KEY and HINDSIGHT_S3_SECRET_KEY"):
        blob_store(Settings(blob_url="s3://bucket"))


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://minio:9000/path", "http://minio:90000"])
def test_an_endpoint_that_is_not_an_address_is_rejected(endpoint: str) -> None:
    with pytest.raises(SetupError, match="HINDSIGHT_S3_ENDPOINT"):
        blob_store(Settings(blob_url="s3://bucket", s3_endpoint=endpoint, **KEYS))
