from pathlib import Path

import pytest

from app.errors import SetupError
from app.events.base import ModelRef
from app.registry.shipped import shipped_champion, shipped_versions
from models.base import Task
from tests.support.tasks import Letters


class UnshippedLetters(Letters):
    """A task whose folder, this one, has no versions."""


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


def test_a_task_ships_the_versions_in_its_folder() -> None:
    assert list(shipped_versions(Letters())) == ["1", "2"]
    assert shipped_champion(Letters()) == ModelRef(name="letters", version="2")


def test_shipped_versions_are_numbers_in_ascending_order(versions: Path) -> None:
    task = ship(versions, "10", "9", "draft", "-1")
    (versions / "11").mkdir()  # without a model yet
    assert list(shipped_versions(task)) == ["9", "10"]
    assert shipped_champion(task).version == "10"


def test_a_task_without_a_model_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="'letters' has no model"):
        shipped_champion(UnshippedLetters())
