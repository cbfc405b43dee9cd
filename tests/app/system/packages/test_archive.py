"""Files in archives of packages."""

from pathlib import Path

import pytest

from app.errors import SetupError
from app.system.packages import archive
from tests.support.package_index import PackageIndex

FILES = {"models/first.bin": b"first", "models/second.bin": b"second", "README.md": b"Read me."}


@pytest.fixture(params=["reader-1.0-py3-none-any.whl", "reader-1.0.tgz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive with these files, of either kind."""
    index = PackageIndex("")
    index.add_wheel("reader", "1.0", FILES)
    index.add_tarball("reader", "1.0", FILES)
    path = tmp_path / str(request.param)
    path.write_bytes(index.archives[path.name])
    return path


def test_members_are_read_by_their_paths_in_the_package(path: Path) -> None:
    wanted = {"models/second.bin", "models/first.bin"}
    assert archive.read_members(path, wanted) == {name: FILES[name] for name in wanted}


def test_a_member_that_is_not_there_is_an_error_with_near_names(path: Path) -> None:
    with pytest.raises(SetupError, match=r"no model/first\.bin, only models/first\.bin"):
        archive.read_members(path, {"model/first.bin"})


def test_a_damaged_archive_is_an_error(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SetupError, match="is damaged"):
        archive.read_members(path, {"README.md"})


def test_a_member_has_a_maximum_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 5)
    assert archive.read_members(path, {"models/first.bin"})
    with pytest.raises(SetupError, match="at most"):
        archive.read_members(path, {"models/second.bin"})
