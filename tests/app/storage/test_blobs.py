import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import MiB, Settings
from app.storage import s3
from app.storage.blob_store import blob_store
from app.storage.blobs import (
    BlobCorrupt,
    BlobInvalid,
    BlobMissing,
    BlobQuota,
    BlobStore,
    BlobTooLarge,
    digest_of,
    key_of,
)
from app.storage.file_blobs import FileBlobs
from tests.support.s3 import SERVER_KINDS, storage_settings


@pytest.fixture(scope="module", params=["file", *SERVER_KINDS])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return storage_settings(request, tmp_path_factory.mktemp("a directory"))


@pytest.fixture(scope="module")
def store(settings: Settings) -> BlobStore:
    return blob_store(settings)


@given(st.binary(max_size=10_000))
def test_a_stored_blob_can_be_read(store: BlobStore, data: bytes) -> None:
    uri = store.put(data)
    assert uri == f"blob://sha256/{hashlib.sha256(data).hexdigest()}"
    assert store.get(uri, max_bytes=len(data)) == data


def test_a_large_blob_is_read_completely(store: BlobStore) -> None:
    data = os.urandom(17 * MiB + 1)
    with store.writer() as writer:
        for start in range(0, len(data), MiB):
            writer.write(data[start : start + MiB])
        assert store.get(writer.commit(), len(data)) == data


def test_the_same_content_has_the_same_uri(store: BlobStore) -> None:
    assert store.put(b"twice") == store.put(b"twice")


def test_the_same_content_can_be_put_by_many_at_once(store: BlobStore) -> None:
    data = os.urandom(100_000)
    with ThreadPoolExecutor(8) as pool:
        uris = set(pool.map(store.put, [data] * 24))
    assert store.get(uris.pop(), len(data)) == data
    assert not uris


def test_a_blob_written_in_pieces_has_the_same_uri(store: BlobStore) -> None:
    with store.writer() as writer:
        writer.write(b"one ")
        writer.write(b"two")
        assert writer.size == 7
        assert writer.commit() == store.put(b"one two")


def test_a_blob_that_was_not_committed_does_not_exist(store: BlobStore) -> None:
    uri = f"blob://sha256/{hashlib.sha256(b'half a blob').hexdigest()}"
    with pytest.raises(RuntimeError), store.writer() as writer:
        writer.write(b"half a blob")
        assert not store.exists(uri)
        raise RuntimeError
    assert not store.exists(uri)
    with pytest.raises(BlobMissing):
        store.get(uri, 100)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "blob://sha256/",
        "blob://sha256/../../etc/passwd",
        "blob://sha256/" + "../" * 21 + "x",
        "blob://sha256/" + "A" * 64,
        "blob://sha256/" + "a" * 65,
        "blob://sha256/" + "a" * 64 + "\n",
        "blob://sha256/" + "a" * 64 + "/..",
        "blob://md5/" + "a" * 64,
        "file:///etc/passwd",
    ],
)
def test_a_uri_that_is_not_a_blobs_is_rejected(store: BlobStore, uri: str) -> None:
    with pytest.raises(BlobInvalid, match="64 lower-case hexadecimal digits"):
        store.get(uri, 100)
    with pytest.raises(BlobInvalid):
        store.exists(uri)
    with pytest.raises(BlobInvalid):
        store.delete(uri)


def test_a_missing_blob_is_reported_with_the_remedy(store: BlobStore) -> None:
    with pytest.raises(BlobMissing, match="POST /v1/blobs"):
        store.get("blob://sha256/" + "0" * 64, 100)


def test_a_blob_above_the_limit_is_not_read(store: BlobStore) -> None:
    uri = store.put(b"x" * 101)
    with pytest.raises(BlobTooLarge, match="101 bytes; at most 100"):
        store.get(uri, 100)
    assert store.get(uri, 101) == b"x" * 101


def test_a_damaged_blob_is_detected_and_replaced_when_stored_again(settings: Settings, store: BlobStore) -> None:
    uri = store.put(b"precious")
    damage(settings, uri, b"presious")
    with pytest.raises(BlobCorrupt, match="damaged"):
        store.get(uri, 100)
    store.put(b"precious")
    assert store.get(uri, 100) == b"precious"


def damage(settings: Settings, uri: str, data: bytes) -> None:
    key = key_of(digest_of(uri))
    if settings.blob_store_url.startswith("file:"):
        (FileBlobs(settings.blob_store_url).root / key).write_bytes(data)
    else:
        bucket, prefix = s3.bucket_and_prefix(settings)
        s3.create_client(settings).put_object(bucket, prefix + key, BytesIO(data), len(data))


def test_a_deleted_blob_is_gone_and_can_be_deleted_again(store: BlobStore) -> None:
    uri = store.put(b"to be deleted")
    assert store.exists(uri)
    store.delete(uri)
    assert not store.exists(uri)
    store.delete(uri)


def test_preparing_a_storage_twice_keeps_its_blobs(store: BlobStore) -> None:
    uri = store.put(b"before")
    store.prepare()
    store.prepare()
    assert store.get(uri, 10) == b"before"


def test_the_size_of_a_storage_is_that_of_its_blobs(settings: Settings, store: BlobStore) -> None:
    before = store.size_bytes()
    store.put(os.urandom(1_000))
    assert store.size_bytes() == before + 1_000


@pytest.fixture
def files(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path.as_uri())


def test_a_quota_accepts_blobs_until_it_is_used_up_by_any_writer(
    files: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = BlobQuota(files, max_bytes=100)
    for _ in range(2):
        with quota.writer() as writer:
            writer.write(os.urandom(50))
            writer.commit()
    with pytest.raises(OSError, match="it holds 100 bytes; uploads are taken below 100") as full:
        quota.writer()
    assert full.value.errno == errno.ENOSPC
    for file in files.root.rglob("sha256/*/*"):
        file.unlink()
    monkeypatch.setattr("app.storage.blobs._SIZE_CACHE_SECONDS", 0)
    quota.writer().__exit__(None, None, None)
    files.put(bytes(100))
    with pytest.raises(OSError, match="it holds 100 bytes"):
        quota.writer()
