"""A new task: the template's folder under another name. It runs at once, and is there to be made one's own."""

import keyword
import re
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.errors import SetupError
from app.settings import CHECKOUT

TEMPLATE_DIRECTORY = Path(__file__).parent / "task"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A task's name is the beginning of its topics' names, and a Python module's name."""
_CODE_SUFFIXES = {".py", ".json"}


@dataclass(frozen=True)
class CreatedTask:
    """The folder, its class as HINDSIGHT_TASKS names it, and what must be on PYTHONPATH for that, if anything."""

    folder: Path
    class_path: str
    python_path: Path | None


def create_task(name: str, directory: Path, tasks: Collection[str]) -> CreatedTask:
    """Write the folder of a task whose name none of `tasks` has, whole or not at all. Raises `SetupError`."""
    if not NAME_PATTERN.fullmatch(name) or keyword.iskeyword(name):
        raise SetupError(
            f"{name!r} is no name for a task.",
            "Use a to z, 0 to 9 and _, a letter first, at most 40, no word of Python's.",
        )
    if re.search(rf"\b{_class_name(name)}\b", "".join(path.read_text() for path in TEMPLATE_DIRECTORY.glob("*.py"))):
        raise SetupError(
            f"The class of {name!r} would be {_class_name(name)}, which has a meaning here.", "Choose another name."
        )
    if name in tasks:
        raise SetupError(
            f"There is a task {name!r} already.", "Choose another name, or take it out of HINDSIGHT_TASKS."
        )
    folder = directory.resolve() / name
    if folder.exists() or folder.with_suffix(".py").exists():
        raise SetupError(f"{folder} is there already.", "Choose another name, or another --directory.")
    created = _describe_task(name, folder)
    if created.python_path is not None and find_spec(name) is not None:
        raise SetupError(f"There is a Python module {name!r} already.", "Choose another name.")
    try:
        _write_folder(name, folder)
    except OSError as error:
        raise SetupError(f"{folder} can't be written: {error}.", "Choose another --directory.") from error
    return created


def _describe_task(name: str, folder: Path) -> CreatedTask:
    """Inside this checkout a module is named by its path; elsewhere its directory must be on PYTHONPATH."""
    inside = folder.is_relative_to(CHECKOUT)
    module = ".".join(folder.relative_to(CHECKOUT).parts) if inside else name
    return CreatedTask(folder, f"{module}:{_class_name(name)}", None if inside else folder.parent)


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _write_folder(name: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
        partial = Path(scratch) / name
        shutil.copytree(TEMPLATE_DIRECTORY, partial, ignore=shutil.ignore_patterns("__pycache__"))
        for path in partial.rglob("*"):
            if path.suffix in _CODE_SUFFIXES:
                path.write_text(path.read_text().replace("NewTask", _class_name(name)).replace("new_task", name))
        partial.rename(folder)
