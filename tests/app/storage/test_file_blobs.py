import os
import time
from pathlib import Path

import pytest

from app.errors import SetupError
from app.storage.file_blobs import FileBlobs


@pytest.fixture
def files(tmp_path: Path) -> FileBlobs:
    return FileBlobs((tmp_path / "not" / "yet").as_uri())


def test_the_directory_of_a_storage_need_not_exist(files: FileBlobs) -> None:
    assert files.get(files.put(b"first"), 10) == b"first"


def test_a_directory_that_cannot_be_written_is_reported_with_the_remedy(tmp_path: Path) -> None:
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


def test_only_partial_blobs_of_killed_writers_are_deleted(files: FileBlobs) -> None:
    files.delete_orphans()  # there is no directory yet
    uri = files.put(b"kept")
    orphan = files.root / "partial" / "left"
    orphan.touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (orphan, files.path(uri)):
        os.utime(path, (two_days_ago, two_days_ago))
    with files.writer() as writer:
        writer.write(b"still written to")
        files.delete_orphans()
        assert not orphan.exists()
        assert files.get(writer.commit(), 100) == b"still written to"
    assert files.get(uri, 100) == b"kept"
