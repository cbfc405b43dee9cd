import json
from pathlib import Path

import pytest

from app.events.base import ModelRef
from app.inference.mlserver.repository import clear, entry_name, install, remove
from app.settings import Settings

VERSION_2 = ModelRef(name="letters", version="2")


def letters(directory: Path) -> Path:
    """Let the version's file appear in a directory."""
    path = directory / "model.onnx"
    path.write_bytes(b"onnx")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", inference_threads=3)


def test_each_version_is_a_separate_entry() -> None:
    assert entry_name(VERSION_2) == "letters-2"


def test_a_version_is_installed_with_its_settings(config: Settings) -> None:
    install(config, VERSION_2, letters)
    [entry] = config.model_repository.iterdir()
    assert (entry.name, (entry / "model.onnx").read_bytes()) == ("letters-2", b"onnx")
    model_settings = json.loads((entry / "model-settings.json").read_text())
    assert (model_settings["name"], model_settings["parameters"]["version"]) == ("letters-2", "2")
    assert model_settings["implementation"] == "app.inference.mlserver.runtime.VersionRuntime"
    assert model_settings["parameters"]["extra"] == {"threads": 3, "providers": ["CPUExecutionProvider"]}


def test_installing_a_version_again_updates_its_settings(config: Settings) -> None:
    install(config, VERSION_2, letters)
    install(config.model_copy(update={"inference_threads": 1}), VERSION_2, letters)
    [entry] = config.model_repository.iterdir()
    assert json.loads((entry / "model-settings.json").read_text())["parameters"]["extra"]["threads"] == 1


def test_versions_are_installed_and_removed_separately(config: Settings) -> None:
    install(config, VERSION_2, letters)
    install(config, ModelRef(name="letters", version="7"), letters)
    remove(config, VERSION_2)
    assert [path.name for path in config.model_repository.iterdir()] == ["letters-7"]
    clear(config)
    assert list(config.model_repository.iterdir()) == []


def test_an_interrupted_installation_leaves_no_loadable_entry(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(
            "app.inference.mlserver.repository.json.dumps",
            lambda *_, **__: (_ for _ in ()).throw(OSError("the disk is full")),
        )
        install(config, VERSION_2, letters)
    assert [path for path in config.model_repository.iterdir() if not path.name.startswith(".")] == []
    install(config, VERSION_2, letters)
    assert [path.name for path in config.model_repository.iterdir()] == ["letters-2"]
