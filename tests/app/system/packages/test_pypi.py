"""Wheels come from the index that pip is configured for."""

import errno
from pathlib import Path

import pytest

from app.errors import SetupError
from app.system.packages import pypi
from tests.support.package_index import PackageIndex

WEIGHTS = bytes(range(256)) * 4000


def ignore(received: int, total: int | None) -> None:
    pass


def test_a_wheel_is_fetched_with_its_progress(package_index: PackageIndex, tmp_path: Path) -> None:
    package_index.add_wheel("reader", "1.0", {"reader/weights.bin": WEIGHTS})
    progress: list[tuple[int, int | None]] = []
    path = pypi.download("reader==1.0", "", tmp_path, lambda *step: progress.append(step))
    size = len(package_index.archives[path.name])
    assert path.read_bytes() == package_index.archives[path.name]
    assert progress[-1] == (size, size)


def test_a_download_that_is_cut_off_is_resumed(package_index: PackageIndex, tmp_path: Path) -> None:
    package_index.add_wheel("reader", "1.0", {"reader/weights.bin": WEIGHTS})
    package_index.cuts = 1
    path = pypi.download("reader==1.0", "", tmp_path, ignore)
    assert path.read_bytes() == package_index.archives[path.name]
    assert [wanted is not None for _, wanted in package_index.downloads] == [False, True]


def test_a_wheel_of_another_platform_is_fetched_if_it_is_named(package_index: PackageIndex, tmp_path: Path) -> None:
    for platform in ("plan9_mips", "win_amd64"):
        package_index.add_wheel("reader", "1.0", {}, platform)
    assert pypi.download("reader==1.0", "plan9_mips", tmp_path, ignore).name == "reader-1.0-py3-none-plan9_mips.whl"


def test_a_package_that_is_not_there_is_an_error_with_pips_reason(package_index: PackageIndex, tmp_path: Path) -> None:
    package_index.add_wheel("reader", "1.0", {})
    with pytest.raises(SetupError, match=r"No matching distribution found for reader==2\.0") as caught:
        pypi.download("reader==2.0", "", tmp_path, ignore)
    assert "pip config" in caught.value.remedy


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device",
    ],
)
def test_a_full_disk_is_an_error_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    (tmp_path / "pip.py").write_text(f"print({output!r}); exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(OSError, match="No space left on device") as caught:
        pypi.download("reader==1.0", "", tmp_path, ignore)
    assert caught.value.errno == errno.ENOSPC
