"""A version of several files is read, verified, placed and written as one."""

import json
from pathlib import Path

import pytest

from models.manifest import MANIFEST, Manifest, VersionFiles, find_version, listed, place_version, write_version
from tests.support.summing_runtime import summing_version


def test_a_manifest_reads_as_it_was_written() -> None:
    manifest = Manifest(runtime="m:C", files=listed({"a.onnx": b"1"}), options={"beam": 4}, labels=("cat", "dog"))
    assert Manifest.parse(manifest.content()) == manifest


def test_fields_of_a_later_release_are_ignored() -> None:
    content = json.loads(Manifest(files=listed({"a.onnx": b"1"})).content()) | {"later": 1}
    assert Manifest.parse(json.dumps(content).encode()).files.keys() == {"a.onnx"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "it: "),
        (b"{}", "files: Field required"),
        (b'{"files": {}}', "files: "),
        (b'{"files": {"a": {"sha256": "12", "bytes": 1}}}', r"files\.a\.sha256"),
    ],
)
def test_an_invalid_manifest_is_refused_with_the_reason(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Manifest.parse(content)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/b", "", ".hidden", "manifest.json", "card.json", "a\n"])
def test_a_manifest_names_only_files_beside_it(name: str) -> None:
    manifest = Manifest(files=listed({name: b"1"}))
    with pytest.raises(ValueError, match="is not the name of a file beside it"):
        Manifest.parse(manifest.content())


def test_a_missing_and_a_changed_file_are_found(tmp_path: Path) -> None:
    path = summing_version(tmp_path)
    VersionFiles.of(path).verify()
    (tmp_path / "factor").write_text("2")
    with pytest.raises(ValueError, match="factor is not the file that the manifest names"):
        VersionFiles.of(path).verify()
    (tmp_path / "factor").unlink()
    with pytest.raises(ValueError, match="factor is missing"):
        VersionFiles.of(path).verify()


def test_a_version_is_placed_with_all_its_files(tmp_path: Path) -> None:
    path = summing_version(tmp_path / "1", factor=3)
    (tmp_path / "2").mkdir()
    placed = place_version(path, tmp_path / "2")
    assert placed == tmp_path / "2" / MANIFEST == find_version(tmp_path / "2")
    VersionFiles.of(placed).verify()


def test_what_a_training_did_not_change_is_taken_from_the_parent(tmp_path: Path) -> None:
    parent = summing_version(tmp_path / "1", factor=3, offset=1)
    changed = {"offset": b"7"}
    manifest = VersionFiles.of(parent).manifest
    manifest = manifest.model_copy(update={"files": {**manifest.files, **listed(changed)}})
    child = write_version(tmp_path / "2", manifest.content(), changed, parent)
    VersionFiles.of(child).verify()
    VersionFiles.of(parent).verify()
    assert (child.with_name("factor").read_text(), child.with_name("offset").read_text()) == ("3", "7")
