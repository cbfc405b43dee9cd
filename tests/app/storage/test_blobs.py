import errno
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SetupError
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
from app.storage.files import FileBlobs
from tests.support.platform import platform_settings
from tests.support.s3 import SERVER_KINDS, storage_settings


@pytest.fixture(scope="module", params=["file", *SERVER_KINDS])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return storage_settings(request, tmp_path_factory.mktemp("a directory"))


@pytest.fixture(scope="module")
def store(settings: Settings) -> BlobStore:
    return blob_store(settings)


@pytest.fixture
def files(tmp_path: Path) -> FileBlobs:
    return FileBlobs((tmp_path / "not" / "yet").as_uri())


@given(st.binary(max_size=10_000))
def test_what_was_put_can_be_got(store: BlobStore, data: bytes) -> None:
    uri = store.put(data)
    assert uri == f"blob://sha256/{hashlib.sha256(data).hexdigest()}"
    assert store.get(uri, max_bytes=len(data)) == data


def test_a_blob_of_many_mebibytes_comes_back_whole(store: BlobStore) -> None:
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


def test_a_blob_in_pieces_is_the_same_blob(store: BlobStore) -> None:
    with store.writer() as writer:
        writer.write(b"one ")
        writer.write(b"two")
        assert writer.size == 7
        assert writer.commit() == store.put(b"one two")


def test_a_blob_that_was_not_committed_is_not_there(store: BlobStore) -> None:
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
def test_a_uri_that_is_no_blobs_is_refused(store: BlobStore, uri: str) -> None:
    with pytest.raises(BlobInvalid, match="64 hexadecimal digits"):
        store.get(uri, 100)
    with pytest.raises(BlobInvalid):
        store.exists(uri)
    with pytest.raises(BlobInvalid):
        store.delete(uri)


def test_a_missing_blob_is_said_to_be_missing(store: BlobStore) -> None:
    with pytest.raises(BlobMissing, match="POST /v1/blobs"):
        store.get("blob://sha256/" + "0" * 64, 100)


def test_a_blob_above_the_limit_is_not_read(store: BlobStore) -> None:
    uri = store.put(b"x" * 101)
    with pytest.raises(BlobTooLarge, match="101 bytes; at most 100"):
        store.get(uri, 100)
    assert store.get(uri, 101) == b"x" * 101


def test_a_damaged_blob_is_detected_and_healed_by_putting_it_again(settings: Settings, store: BlobStore) -> None:
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
    uri = store.put(b"to be forgotten")
    assert store.exists(uri)
    store.delete(uri)
    assert not store.exists(uri)
    store.delete(uri)


def test_a_storage_is_prepared_once_or_twice_and_keeps_what_it_has(store: BlobStore) -> None:
    uri = store.put(b"before")
    store.prepare()
    store.prepare()
    assert store.get(uri, 10) == b"before"


@pytest.mark.parametrize("url", ["/a/path", "", "file://elsewhere/blobs", "http://x/y", "gs://bucket/blobs"])
def test_an_unknown_storage_is_refused_with_the_remedy(tmp_path: Path, url: str) -> None:
    settings = platform_settings(tmp_path).model_copy(update={"blob_url": url or "blobs"})
    with pytest.raises(SetupError, match="file:///a/directory or s3://bucket/prefix") as caught:
        blob_store(settings)
    assert repr(settings.blob_store_url) in caught.value.message


def test_a_directory_needs_not_exist(files: FileBlobs) -> None:
    assert files.get(files.put(b"first"), 10) == b"first"


def test_a_directory_that_cannot_be_written_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(SetupError, match=r"a%20file.*File exists") as caught:
        FileBlobs((tmp_path / "a file").as_uri()).prepare()
    assert "HINDSIGHT_BLOB_URL" in caught.value.remedy


def test_a_directory_has_one_file_for_each_content(files: FileBlobs) -> None:
    files.put(b"twice")
    with files.writer() as writer:
        writer.write(b"not committed")
    files.put(b"twice")
    assert [path.read_bytes() for path in files.root.rglob("*") if path.is_file()] == [b"twice"]


def test_only_what_killed_writers_left_is_swept(files: FileBlobs) -> None:
    files.delete_orphans()  # there is no directory yet
    uri = files.put(b"kept")
    left = files.root / "partial" / "left"
    left.touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (left, files.path(uri)):
        os.utime(path, (two_days_ago, two_days_ago))
    with files.writer() as writer:
        writer.write(b"still written to")
        files.delete_orphans()
        assert not left.exists()
        assert files.get(writer.commit(), 100) == b"still written to"
    assert files.get(uri, 100) == b"kept"


def test_the_size_of_a_storage_is_that_of_its_blobs(settings: Settings, store: BlobStore) -> None:
    before = store.size_bytes()
    store.put(os.urandom(1_000))
    assert store.size_bytes() == before + 1_000


def test_a_quota_takes_blobs_until_it_is_used_up_and_what_others_write_counts(
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
    monkeypatch.setattr("app.storage.blobs._MEASURED_SECONDS", 0)
    quota.writer().__exit__(None, None, None)
    files.put(bytes(100))
    with pytest.raises(OSError, match="it holds 100 bytes"):
        quota.writer()
