"""The versions that a task's folder ships."""

import inspect
from pathlib import Path

from app.errors import SetupError
from app.events.base import ModelRef
from models.base import Task


def shipped_versions(task: Task) -> dict[str, Path]:
    """The versions that come with a task's folder, `versions/<number>/model.onnx`, lowest first."""
    folder = Path(inspect.getfile(type(task))).parent / "versions"
    found = {path.parent.name: path for path in folder.glob("*/model.onnx") if path.parent.name.isdecimal()}
    return dict(sorted(found.items(), key=lambda version: int(version[0])))


def shipped_champion(task: Task) -> ModelRef:
    """The newest version that a task ships: it serves until a route says otherwise. Raises `SetupError`."""
    versions = shipped_versions(task)
    if not versions:
        raise no_model_error(task.name)
    return ModelRef(name=task.name, version=list(versions)[-1])


def no_model_error(task: str) -> SetupError:
    """What is wrong with a task that has no version at all."""
    return SetupError(f"Task {task!r} has no model.", "Train one into its folder: versions/1/model.onnx.")
