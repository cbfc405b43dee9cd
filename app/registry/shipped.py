"""The versions shipped in a task's folder."""

import inspect
from pathlib import Path

from app.errors import SetupError
from app.events.base import ModelRef
from models.base import Task


def shipped_versions(task: Task) -> dict[str, Path]:
    """Return the versions in a task's folder, `versions/<number>/model.onnx`, lowest first."""
    folder = Path(inspect.getfile(type(task))).parent / "versions"
    paths = {path.parent.name: path for path in folder.glob("*/model.onnx") if path.parent.name.isdecimal()}
    return dict(sorted(paths.items(), key=lambda item: int(item[0])))


def shipped_champion(task: Task) -> ModelRef:
    """Return the newest shipped version, which serves until the route is changed. Raises `SetupError`."""
    versions = shipped_versions(task)
    if not versions:
        raise no_model_error(task.name)
    return ModelRef(name=task.name, version=list(versions)[-1])


def no_model_error(task: str) -> SetupError:
    """Return the error for a task without a version."""
    return SetupError(f"Task {task!r} has no model.", "Train one into its folder: versions/1/model.onnx.")
