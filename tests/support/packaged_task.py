"""A task in a folder of its own, whose version is made of files from packages."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.registry.packaged_version import PackagedVersion

TASK = '''"""A task whose weights are fetched."""

from tests.support.tasks import Letters


class Fetched(Letters):
    """A task whose weights are fetched."""

    name = "{name}"
'''


def join_upside_down(*parts: bytes) -> bytes:
    """Convert the members of a package to one file."""
    return b"".join(parts)[::-1]


def write_task(folder: Path, name: str) -> str:
    """Write the module of a task; return its path for HINDSIGHT_TASKS, if the folder is on Python's path."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "__init__.py").write_text(TASK.format(name=name))
    return f"{name}:Fetched"


def entry(content: bytes, package: str = "", *members: str, **fields: Any) -> dict[str, Any]:
    """Return the manifest's entry of a file with this content, from a package if one is named: `pypi reader==1.0`."""
    file: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    if package:
        index, _, name = package.partition(" ")
        file["package"] = {"index": index, "name": name, "members": members, **fields}
    return file


def write_version(folder: Path, files: Mapping[str, Any], card: str = "{}", runtime: str = "fetched:Runtime") -> Path:
    """Write a version's manifest and card into a folder of the task; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"runtime": runtime, "files": files}))
    (folder / "card.json").write_text(card)
    return folder


def packaged(cache: Path, folder: Path) -> PackagedVersion:
    """Return the version in this folder of a task."""
    version = PackagedVersion.of(cache, "fetched", folder)
    assert version is not None
    return version
