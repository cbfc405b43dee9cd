"""Creates a new task: a copy of the template under another name, which runs at once and is meant to be changed."""

import keyword
import re
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.errors import SetupError
from app.settings import CHECKOUT

TEMPLATE_DIRECTORY = Path(__file__).parent / "task"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A task's name is the prefix of its topics' names, and the name of a Python module."""
_CODE_SUFFIXES = {".py", ".json"}


@dataclass(frozen=True)
class CreatedTask:
    """A task's folder, its class as HINDSIGHT_TASKS names it, and the directory that PYTHONPATH needs, if any."""

    folder: Path
    class_path: str
    python_path: Path | None


Write = Callable[[str, str, Path], None]
"""Writes the folder, which is not there, of a task of this name and class name."""


def copy_template(name: str, class_name: str, folder: Path) -> None:
    """Write the template under another name."""
    shutil.copytree(TEMPLATE_DIRECTORY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*"):
        if path.suffix in _CODE_SUFFIXES:
            path.write_text(path.read_text().replace("NewTask", class_name).replace("new_task", name))


def create_task(name: str, directory: Path, tasks: Collection[str], write: Write = copy_template) -> CreatedTask:
    """Write the folder of a task whose name is not in `tasks`, completely or not at all. Raises `SetupError`."""
    if not NAME_PATTERN.fullmatch(name) or keyword.iskeyword(name):
        raise SetupError(
            f"{name!r} is not a valid name for a task.",
            "Use at most 40 of a to z, 0 to 9 and _, a letter first, and no Python keyword.",
        )
    if re.search(rf"\b{_class_name(name)}\b", _used_names()):
        raise SetupError(
            f"The class of {name!r} would be {_class_name(name)}, which the template uses.",
            "Choose another name.",
        )
    if name in tasks:
        raise SetupError(
            f"There is already a task {name!r}.", "Choose another name, or remove the task from HINDSIGHT_TASKS."
        )
    folder = directory.resolve() / name
    if folder.exists() or folder.with_suffix(".py").exists():
        raise SetupError(f"{folder} already exists.", "Choose another name, or another --directory.")
    created = _describe_task(name, folder)
    if created.python_path is not None and find_spec(name) is not None:
        raise SetupError(f"There is already a Python module {name!r}.", "Choose another name.")
    try:
        _write_folder(name, folder, write)
    except OSError as error:
        raise SetupError(f"{folder} can't be written: {error}.", "Choose another --directory.") from error
    return created


def _describe_task(name: str, folder: Path) -> CreatedTask:
    """Return the new task: in this checkout a module is named by its path, elsewhere PYTHONPATH needs its directory."""
    inside = folder.is_relative_to(CHECKOUT)
    module = ".".join(folder.relative_to(CHECKOUT).parts) if inside else name
    return CreatedTask(folder, f"{module}:{_class_name(name)}", None if inside else folder.parent)


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _used_names() -> str:
    """Return a text with the names that the code of a new task uses."""
    bases = "FromImage FromAudio FromNumbers Classification Ctc Detection Bandit"
    return bases + "".join(path.read_text() for path in TEMPLATE_DIRECTORY.glob("*.py"))


def _write_folder(name: str, folder: Path, write: Write) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
        partial = Path(scratch) / name
        write(name, _class_name(name), partial)
        partial.rename(folder)
