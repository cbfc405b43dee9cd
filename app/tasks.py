"""The tasks of this deployment, loaded from the setting HINDSIGHT_TASKS: `name -> module:Class`."""

import inspect
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from app.errors import SetupError
from app.settings import Settings
from models.base import Task

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load_tasks(settings: Settings) -> dict[str, Task]:
    """Return every task by its name. Raises SetupError if one cannot be loaded."""
    return {
        name: _create_task(name, path, settings.task_options.get(name, {})) for name, path in settings.tasks.items()
    }


def load_task(settings: Settings, task: str) -> Task:
    """Return the task of this name. Raises SetupError if there is none, or it cannot be loaded."""
    if task not in settings.tasks:
        raise unknown_task(task, settings.tasks)
    return _create_task(task, settings.tasks[task], settings.task_options.get(task, {}))


def unknown_task(task: str, known: Iterable[str]) -> SetupError:
    """Return the error of a task that is not there."""
    return SetupError(f"There is no task {task!r}.", f"Choose one of: {', '.join(sorted(known))}.")


def _create_task(name: str, path: str, options: Mapping[str, Any]) -> Task:
    entry = f"HINDSIGHT_TASKS has {name!r}: {path!r}"
    if not _NAME.fullmatch(name):
        raise SetupError(f"{entry}; {name!r} is not a valid name.", "Use a to z, 0 to 9 and _, a letter first.")
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise SetupError(f"{entry}; that is not a class path.", "Write module:Class, such as models.small.ocr:Ocr.")
    try:
        cls = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SetupError(
            f"{entry}; it cannot be loaded: {error}.", "Check the module's and the class's name."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise SetupError(f"{entry}; it is not a models.base.Task.", "Derive the class from models.base.Task.")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise SetupError(f"{entry}; it is abstract: it lacks {missing}.", "Write these methods of models.base.Task.")
    try:
        task = cls(**options)
    except (TypeError, ValueError) as error:
        raise SetupError(
            f"HINDSIGHT_TASK_OPTIONS has {dict(options)} for {name!r}; {error}.", f"Use the options of {path}."
        ) from error
    class_name = getattr(task, "name", None)
    if class_name != name:
        raise SetupError(f"{entry}; but the name of the class is {class_name!r}.", "Give both the same name.")
    return task
