import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.blobs import BlobCorrupt, BlobInvalid, BlobMissing, BlobStore, BlobTooLarge
from app.embedded.errors import SetupError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlobStore:
    return BlobStore((tmp_path_factory.mktemp("a directory") / "blobs #1").as_uri())


@given(st.binary(max_size=10_000))
def test_what_was_put_can_be_got(store: BlobStore, data: bytes) -> None:
    uri = store.put(data)
    assert uri == f"blob://sha256/{hashlib.sha256(data).hexdigest()}"
    assert store.get(uri, max_bytes=len(data)) == data


def test_the_same_content_is_kept_once(store: BlobStore) -> None:
    assert store.put(b"twice") == store.put(b"twice")
    assert [path.read_bytes() for path in (store.root / "sha256").rglob("*") if path.is_file()].count(b"twice") == 1


def test_a_blob_in_pieces_is_the_same_blob(store: BlobStore) -> None:
    with store.writer() as writer:
        writer.write(b"one ")
        writer.write(b"two")
        assert writer.size == 7
        assert writer.commit() == store.put(b"one two")


def test_nothing_is_left_of_a_blob_that_was_not_committed(store: BlobStore) -> None:
    with pytest.raises(RuntimeError), store.writer() as writer:
        writer.write(b"half a blob")
        raise RuntimeError
    assert list((store.root / "partial").iterdir()) == []
    with pytest.raises(BlobMissing):
        store.get(f"blob://sha256/{hashlib.sha256(b'half a blob').hexdigest()}", 100)


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


def test_a_missing_blob_is_said_to_be_missing(store: BlobStore) -> None:
    with pytest.raises(BlobMissing, match="POST /v1/blobs"):
        store.get("blob://sha256/" + "0" * 64, 100)


def test_a_blob_above_the_limit_is_not_read(store: BlobStore) -> None:
    uri = store.put(b"x" * 101)
    with pytest.raises(BlobTooLarge, match="101 bytes; at most 100"):
        store.get(uri, 100)


def test_a_damaged_blob_is_detected_and_healed_by_putting_it_again(store: BlobStore) -> None:
    uri = store.put(b"precious")
    store.path(uri).write_bytes(b"presious")
    with pytest.raises(BlobCorrupt, match="damaged"):
        store.get(uri, 100)
    store.put(b"precious")
    assert store.get(uri, 100) == b"precious"


@pytest.mark.parametrize("url", ["s3://bucket/blobs", "/a/path", "", "file://elsewhere/blobs", "http://x/y"])
def test_an_unknown_storage_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(SetupError, match="file:///a/directory") as caught:
        BlobStore(url)
    assert repr(url) in caught.value.message


def test_the_home_directory_of_the_default_needs_not_exist(tmp_path: Path) -> None:
    store = BlobStore((tmp_path / "not" / "yet").as_uri())
    assert store.get(store.put(b"first"), 10) == b"first"
