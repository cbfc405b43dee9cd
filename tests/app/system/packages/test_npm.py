"""Packages come from the registry that npm is configured for, without npm."""

import time
from pathlib import Path

import pytest

from app.errors import SetupError
from app.system.packages import npm
from app.system.packages.npm_config import DEFAULT_REGISTRY
from tests.support.package_index import PackageIndex

NAME, ARCHIVE = "@maker/models==3.0.4", "@maker/models-3.0.4.tgz"


@pytest.fixture(autouse=True)
def models(package_index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    package_index.add_tarball("@maker/models", "3.0.4", {"models/weights.bin": bytes(range(256)) * 4000})


def download(folder: Path) -> bytes:
    return npm.download(NAME, folder, lambda *_: None).read_bytes()


def test_a_tarball_is_fetched_with_its_progress(package_index: PackageIndex, tmp_path: Path) -> None:
    progress: list[tuple[int, int | None]] = []
    path = npm.download(NAME, tmp_path, lambda *step: progress.append(step))
    size = len(package_index.archives[ARCHIVE])
    assert path.read_bytes() == package_index.archives[ARCHIVE]
    assert progress[-1] == (size, size)


@pytest.mark.parametrize("ranges", [True, False], ids=["resumed", "repeated by a server that can't resume"])
def test_a_download_that_is_cut_off_continues(package_index: PackageIndex, tmp_path: Path, ranges: bool) -> None:
    package_index.cuts, package_index.ranges = 1, ranges
    archive = package_index.archives[ARCHIVE]
    assert download(tmp_path) == archive
    assert package_index.downloads == [(ARCHIVE, None), (ARCHIVE, f"bytes={len(archive) // 2}-")]


def test_what_is_there_of_something_else_is_fetched_anew(package_index: PackageIndex, tmp_path: Path) -> None:
    archive = package_index.archives[ARCHIVE]
    (tmp_path / "package.tgz").write_bytes(archive + b"more")
    assert download(tmp_path) == archive


def test_a_busy_registry_is_asked_again(package_index: PackageIndex, tmp_path: Path) -> None:
    package_index.failures = [503, 429]
    assert download(tmp_path) == package_index.archives[ARCHIVE]


def test_a_registry_that_refuses_is_not_asked_again(package_index: PackageIndex, tmp_path: Path) -> None:
    package_index.failures = [403, 403]
    with pytest.raises(SetupError, match="the registry answers 403") as caught:
        download(tmp_path)
    assert package_index.failures == [403]
    assert "NPM_CONFIG_REGISTRY" in caught.value.remedy


def test_a_version_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"registry has no @maker/models==9\.9\.9"):
        npm.download("@maker/models==9.9.9", tmp_path, lambda *_: None)


def test_a_registry_that_can_not_be_reached_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1")
    with pytest.raises(SetupError, match=r"cannot be fetched from npm's registry: .*refused"):
        download(tmp_path)


def test_the_tarball_of_a_mirror_comes_from_the_mirror(package_index: PackageIndex, tmp_path: Path) -> None:
    package_index.tarball_hosts["@maker/models"] = DEFAULT_REGISTRY.rstrip("/")
    package_index.archives[f"npm/{ARCHIVE}"] = package_index.archives[ARCHIVE]
    assert download(tmp_path) == package_index.archives[ARCHIVE]


def test_the_registry_gets_its_token(
    package_index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "npmrc").write_text(f"{package_index.url.removeprefix('http:')}/npm/:_authToken=secret\n")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    download(tmp_path)
    assert package_index.tokens == ["Bearer secret", "Bearer secret"]
