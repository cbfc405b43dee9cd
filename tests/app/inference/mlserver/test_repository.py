import json
from pathlib import Path

import pytest

from app.errors import SetupError
from app.events.base import ModelRef
from app.inference.mlserver.repository import clear, entry_name, install, remove
from app.registry.shipped import shipped_champion, shipped_versions
from app.settings import Settings
from models.base import Task
from tests.support.tasks import Letters


class Homeless(Letters):
    """Its folder, this one, has no versions."""


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", inference_threads=3)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The versions of a task whose folder is a temporary one."""
    monkeypatch.setattr("app.registry.shipped.inspect.getfile", lambda _: str(tmp_path / "task" / "task.py"))
    return tmp_path / "task" / "versions"


def ship(versions: Path, *names: str) -> Task:
    for name in names:
        (versions / name).mkdir(parents=True)
        (versions / name / "model.onnx").write_text(name)
    return Letters()


def test_each_version_is_an_entry_of_its_own() -> None:
    assert entry_name(ModelRef(name="letters", version="2")) == "letters-2"


def test_a_task_ships_the_versions_in_its_folder() -> None:
    assert list(shipped_versions(Letters())) == ["1", "2"]
    assert shipped_champion(Letters()) == ModelRef(name="letters", version="2")


def test_versions_are_numbers_in_their_order(versions: Path) -> None:
    task = ship(versions, "10", "9", "draft", "-1")
    (versions / "11").mkdir()  # without a model yet
    assert list(shipped_versions(task)) == ["9", "10"]
    assert shipped_champion(task).version == "10"


def test_a_task_without_a_model_is_said() -> None:
    with pytest.raises(SetupError, match="'letters' has no model"):
        shipped_champion(Homeless())


TWO = ModelRef(name="letters", version="2")


def test_a_version_is_installed_with_its_settings(config: Settings) -> None:
    install(config, TWO, b"onnx")
    [place] = config.model_repository.iterdir()
    assert (place.name, (place / "model.onnx").read_bytes()) == ("letters-2", b"onnx")
    described = json.loads((place / "model-settings.json").read_text())
    assert (described["name"], described["parameters"]["version"]) == ("letters-2", "2")
    assert described["implementation"] == "app.inference.mlserver.runtime.OnnxRuntime"
    assert described["parameters"]["extra"] == {"threads": 3}


def test_installing_again_brings_the_settings_of_today(config: Settings) -> None:
    install(config, TWO, b"onnx")
    install(config.model_copy(update={"inference_threads": 1}), TWO, b"onnx")
    [place] = config.model_repository.iterdir()
    assert json.loads((place / "model-settings.json").read_text())["parameters"]["extra"] == {"threads": 1}


def test_versions_come_and_go_alone(config: Settings) -> None:
    install(config, TWO, b"onnx")
    install(config, ModelRef(name="letters", version="7"), b"onnx")
    remove(config, TWO)
    assert [path.name for path in config.model_repository.iterdir()] == ["letters-7"]
    clear(config)
    assert list(config.model_repository.iterdir()) == []


def test_an_interrupted_installation_leaves_nothing_that_would_be_loaded(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(
            "app.inference.mlserver.repository.json.dumps",
            lambda *_, **__: (_ for _ in ()).throw(OSError("the disk is full")),
        )
        install(config, TWO, b"onnx")
    assert [path for path in config.model_repository.iterdir() if not path.name.startswith(".")] == []
    install(config, TWO, b"onnx")
    assert [path.name for path in config.model_repository.iterdir()] == ["letters-2"]
