from pathlib import Path

import pytest

from app.errors import SetupError
from app.system import disk


def test_free_space_is_known_for_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    assert disk.free(tmp_path / "a" / "b") > 0


@pytest.mark.parametrize(("free_bytes", "warns"), [(100 * disk.GiB, False), (3 * disk.GiB, True)])
def test_little_free_space_causes_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, warns: bool
) -> None:
    monkeypatch.setattr(disk, "free", lambda _: free_bytes)
    assert bool(disk.check_space(tmp_path)) is warns


def test_too_little_free_space_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free", lambda _: disk.GiB // 2)
    with pytest.raises(SetupError, match=r"Only 0\.5 GiB are free") as caught:
        disk.check_space(tmp_path)
    assert "HINDSIGHT_HOME" in caught.value.remedy


def test_a_home_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be written to"):
        disk.check_writable(tmp_path / "file" / "home")
