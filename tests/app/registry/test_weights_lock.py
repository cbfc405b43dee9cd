"""Checksums of packaged files are written into manifests by a maintainer's command."""

import json
from pathlib import Path

import pytest

from app.registry import weights, weights_lock
from app.settings import Settings
from tests.support.package_index import PackageIndex
from tests.support.packaged_task import packaged

PACKAGE = {"index": "npm", "name": "models==3.0.4", "members": ["a.bin"]}


def write_manifest(folder: Path, files: object) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({"licence": "MIT", "files": files}))
    return path


def test_entries_get_their_checksums_and_sizes(tmp_path: Path, package_index: PackageIndex) -> None:
    package_index.add_tarball("models", "3.0.4", {"a.bin": b"weights"})
    (tmp_path / "labels.txt").write_bytes(b"labels")
    path = write_manifest(tmp_path, {"a.bin": {"package": PACKAGE}, "labels.txt": {}})
    assert weights_lock.main([str(tmp_path)]) == 0
    locked = json.loads(path.read_bytes())
    assert locked["licence"] == "MIT"
    assert locked["files"]["a.bin"]["package"] == PACKAGE
    assert {name: file["bytes"] for name, file in locked["files"].items()} == {"a.bin": 7, "labels.txt": 6}
    version = packaged(tmp_path / "cache", tmp_path)
    weights.pull(Settings(cache=tmp_path / "cache"), [version])
    assert version.damaged_files() == []


@pytest.mark.parametrize("files", [{"a.bin": {"package": "models"}}, [], {"gone.txt": {}}])
def test_what_can_not_be_locked_is_an_error(tmp_path: Path, files: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_manifest(tmp_path, files)
    content = path.read_bytes()
    assert weights_lock.main([str(tmp_path)]) == 1
    assert "manifest.json can't be locked" in capsys.readouterr().err
    assert path.read_bytes() == content
