"""The tasks of this deployment: loaded from the setting HINDSIGHT_TASKS, `name -> module:Class`."""

import re
from importlib import import_module

from app.embedded.errors import SetupError
from app.settings import Settings
from models.base import Task

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load(settings: Settings) -> dict[str, Task]:
    """Every task by its name. Raises `SetupError` for a setting that names none."""
    return {name: _load(name, path) for name, path in settings.tasks.items()}


def _load(name: str, path: str) -> Task:
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
    try:
        task = cls()
    except TypeError as error:
        raise SetupError(f"{where}; {error}.", "Write the methods of models.base.Task that it lacks.") from error
    if getattr(task, "name", None) != name:
        given = getattr(task, "name", None)
        raise SetupError(f"{where}; but the class is named {given!r}.", "Give both the same name.")
    return task
