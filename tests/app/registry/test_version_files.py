"""A version of several files is stored in blob storage, file by file, and comes back as it was."""

from pathlib import Path

import pytest

from app.events.base import ModelRef
from app.events.model_events import ModelRegistered
from app.registry.registry import ModelVersion
from app.registry.version_files import fetch_version, store_version
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.blobs import BlobMissing, BlobStore
from models.base import Rejected
from models.manifest import MANIFEST, VersionFiles
from tests.support.model_files import write_letters_model
from tests.support.summing_runtime import summing_version


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, blob_url=(tmp_path / "blobs").as_uri())


@pytest.fixture
def blobs(config: Settings) -> BlobStore:
    store = blob_store(config)
    store.prepare()
    return store


def registered(artifact: str) -> ModelVersion:
    ref = ModelRef(name="letters", version="2")
    event = ModelRegistered(
        task="letters", model=ref, artifact=artifact, card={}, actor="ada", parent=None, preprocess_version="1"
    )
    return ModelVersion("letters", "2", artifact, {}, event)


def test_all_files_come_back(tmp_path: Path, config: Settings, blobs: BlobStore) -> None:
    artifact = store_version(summing_version(tmp_path / "1", factor=3), blobs)
    path = fetch_version(registered(artifact), blobs, config, tmp_path / "fetched")
    VersionFiles.of(path).verify()
    assert path.name == MANIFEST
    assert path.with_name("factor").read_text() == "3"


def test_what_two_versions_share_is_stored_once(tmp_path: Path, blobs: BlobStore) -> None:
    first = store_version(summing_version(tmp_path / "1", factor=3, offset=1), blobs)
    before = sum(1 for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    second = store_version(summing_version(tmp_path / "2", factor=3, offset=2), blobs)
    assert first != second
    assert sum(1 for path in (tmp_path / "blobs").rglob("*") if path.is_file()) == before + 2  # the file, the manifest


def test_one_onnx_file_is_stored_as_it_is(tmp_path: Path, config: Settings, blobs: BlobStore) -> None:
    model = write_letters_model(tmp_path, "of one file")
    path = fetch_version(registered(store_version(model, blobs)), blobs, config, tmp_path / "fetched")
    assert (path.name, path.read_bytes()) == ("model.onnx", model.read_bytes())


def test_a_missing_blob_is_said(tmp_path: Path, config: Settings, blobs: BlobStore) -> None:
    version = summing_version(tmp_path / "1")
    artifact = store_version(version, blobs)
    blobs.delete(f"blob://sha256/{VersionFiles.of(version).manifest.files['factor'].sha256}")
    with pytest.raises(BlobMissing):
        fetch_version(registered(artifact), blobs, config, tmp_path / "fetched")


def test_a_blob_that_is_no_manifest_is_refused(tmp_path: Path, config: Settings, blobs: BlobStore) -> None:
    with pytest.raises(Rejected, match=r"manifest\.json is not valid"):
        fetch_version(registered(blobs.put(b"{}")), blobs, config, tmp_path / "fetched")
