from pathlib import Path

import pytest

from app.errors import SetupError
from app.events.base import ModelRef
from app.registry.registry import Registry
from app.registry.shipped import packaged_versions, require_weights, shipped_champion, shipped_versions
from app.settings import Settings
from models.base import Task
from tests.support.packaged_task import entry, write_version
from tests.support.tasks import Letters


class UnshippedLetters(Letters):
    """A task whose folder, this one, has no versions."""


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The versions of a task whose folder is a temporary one, as is the cache."""
    monkeypatch.setattr("app.registry.shipped.settings", lambda: Settings(cache=tmp_path / "cache"))
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


def test_a_version_whose_files_come_from_a_package_lies_in_the_cache(versions: Path, tmp_path: Path) -> None:
    task = ship(versions, "1")
    write_version(versions / "2", {"weights.bin": entry(b"", "pypi reader==1.0", "weights.bin")})
    path = shipped_versions(task)["2"]
    assert path.is_relative_to(tmp_path / "cache" / "models")
    assert (path.parent.name, path.name) == ("2", "manifest.json")


def test_without_its_weights_a_version_is_listed_but_can_not_serve(versions: Path) -> None:
    task = ship(versions, "1")
    write_version(versions / "2", {"weights.bin": entry(b"weights", "pypi reader==1.0", "weights.bin")})
    assert list(Registry([task, UnshippedLetters()]).tasks["letters"].versions) == ["1", "2"]
    require_weights(task, "1")
    with pytest.raises(SetupError, match="weights of letters 2") as caught:
        shipped_champion(task)
    assert "hindsight models pull letters" in caught.value.remedy


def test_a_version_whose_files_all_lie_in_its_folder_stays_there(versions: Path) -> None:
    folder = write_version(versions / "1", {"weights.bin": entry(b"weights")})
    assert shipped_versions(Letters()) == {"1": folder / "manifest.json"}
    assert shipped_champion(Letters()).version == "1"


def test_another_manifest_or_card_is_another_directory_of_the_cache(versions: Path, tmp_path: Path) -> None:
    def directory(content: bytes, card: str) -> Path:
        write_version(versions / "1", {"weights.bin": entry(content, "pypi reader==1.0", "weights.bin")}, card)
        [version] = packaged_versions(tmp_path, Letters())
        return version.directory

    assert directory(b"a", "{}") == directory(b"a", "{}")
    assert len({directory(b"a", "{}"), directory(b"b", "{}"), directory(b"a", '{"seed": 1}')}) == 3


def test_an_invalid_manifest_is_an_error_that_names_it(versions: Path) -> None:
    write_version(versions / "1", {"weights.bin": entry(b"", "pypi reader>=1.0", "weights.bin")})
    with pytest.raises(SetupError, match=r"versions/1/manifest\.json: .*package\.name"):
        shipped_versions(Letters())
