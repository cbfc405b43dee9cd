"""The tasks of this deployment: loaded from the setting HINDSIGHT_TASKS, `name -> module:Class`."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from app.errors import SetupError
from app.settings import Settings
from models.base import Task

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load_tasks(settings: Settings) -> dict[str, Task]:
    """Every task by its name. Raises `SetupError` for a setting that names none."""
    return {
        name: _create_task(name, path, settings.task_options.get(name, {})) for name, path in settings.tasks.items()
    }


def load_task(settings: Settings, task: str) -> Task:
    """The task of this name. Raises `SetupError`."""
    if task not in settings.tasks:
        raise SetupError(f"There is no task {task!r}.", f"Name one of: {', '.join(settings.tasks)}.")
    return _create_task(task, settings.tasks[task], settings.task_options.get(task, {}))


def _create_task(name: str, path: str, options: Mapping[str, Any]) -> Task:
    where = f"HINDSIGHT_TASKS has {name!r}: {path!r}"
    if not _NAME.fullmatch(name):
        raise SetupError(f"{where}; {name!r} is no name for a task.", "Use a to z, 0 to 9 and _, a letter first.")
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise SetupError(f"{where}; that is no class.", "Write module:Class, such as models.ocr:Ocr.")
    try:
        cls = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SetupError(
            f"{where}; it can't be loaded: {error}.", "Check the module's and the class's name."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise SetupError(f"{where}; that is no models.base.Task.", "Derive the class from models.base.Task.")
    if inspect.isabstract(cls):
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise SetupError(f"{where}; it is abstract: it lacks {lacking}.", "Write these methods of models.base.Task.")
    try:
        task = cls(**options)
    except (TypeError, ValueError) as error:
        raise SetupError(
            f"HINDSIGHT_TASK_OPTIONS has {dict(options)} for {name!r}; {error}.", f"{path} says which options it takes."
        ) from error
    if getattr(task, "name", None) != name:
        given = getattr(task, "name", None)
        raise SetupError(f"{where}; but the class is named {given!r}.", "Give both the same name.")
    return task
