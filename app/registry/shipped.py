"""The versions shipped in a task's folder."""

import inspect
from pathlib import Path

from app.errors import SetupError
from app.events.base import ModelRef
from app.registry.packaged_version import PackagedVersion, missing_error
from app.settings import settings
from models.base import Task
from models.manifest import MANIFEST, MODEL


def shipped_versions(task: Task) -> dict[str, Path]:
    """Return the paths of the versions in a task's folder, `versions/<number>`, lowest first.

    A version that has files from packages lies in the cache, once they are fetched: see `require_weights`.
    Raises `SetupError` for an invalid manifest.
    """
    packaged = {version.number: version.path for version in packaged_versions(settings().cache, task)}
    return {folder.name: packaged.get(folder.name, _path(folder)) for folder in _folders(task)}


def packaged_versions(cache: Path, task: Task) -> list[PackagedVersion]:
    """Return the versions in a task's folder that have files from packages, lowest first. Raises `SetupError`."""
    folders = (folder for folder in _folders(task) if (folder / MANIFEST).is_file())
    versions = (PackagedVersion.of(cache, task.name, folder) for folder in folders)
    return [version for version in versions if version is not None]


def shipped_champion(task: Task) -> ModelRef:
    """Return the newest shipped version, which serves until the route is changed.

    Raises `SetupError`, also if its weights are not there.
    """
    versions = shipped_versions(task)
    if not versions:
        raise no_model_error(task.name)
    number = list(versions)[-1]
    require_weights(task, number)
    return ModelRef(name=task.name, version=number)


def require_weights(task: Task, number: str) -> None:
    """Raise `SetupError` if this is a shipped version whose files were not fetched yet."""
    for version in packaged_versions(settings().cache, task):
        if version.number == number and not version.is_whole():
            raise missing_error(version)


def no_model_error(task: str) -> SetupError:
    """Return the error for a task without a version."""
    return SetupError(f"Task {task!r} has no model.", "Train one into its folder: versions/1/model.onnx.")


def _folders(task: Task) -> list[Path]:
    folder = Path(inspect.getfile(type(task))).parent / "versions"
    numbered = (path for path in folder.glob("*") if path.name.isdecimal())
    return sorted((path for path in numbered if _path(path).is_file()), key=lambda path: int(path.name))


def _path(folder: Path) -> Path:
    return folder / (MANIFEST if (folder / MANIFEST).is_file() else MODEL)
