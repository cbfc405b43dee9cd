"""Shipped versions that have files from published packages: they lie in the cache, see `app.registry.weights`."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.errors import SetupError
from app.settings import MiB
from models.manifest import MANIFEST, Manifest, ModelFile

CARD = "card.json"
COMMAND = "hindsight models pull"


@dataclass(frozen=True)
class PackagedVersion:
    """A shipped version that has files from packages."""

    task: str
    folder: Path
    """Its folder in the task's, `versions/<number>`, with the manifest, the card and what comes from no package."""
    manifest: Manifest
    directory: Path
    """Its directory in the cache, which is there once it is whole."""

    @classmethod
    def of(cls, cache: Path, task: str, folder: Path) -> Self | None:
        """Return the version in a task's folder; None if all its files are in this folder. Raises `SetupError`."""
        content = (folder / MANIFEST).read_bytes()
        try:
            manifest = Manifest.parse(content)
        except ValueError as error:
            raise SetupError(f"{folder / MANIFEST}: {error}.", "Correct it, see models/manifest.py.") from error
        if all(file.package is None for file in manifest.files.values()):
            return None
        with suppress(FileNotFoundError):
            content += (folder / CARD).read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        return cls(task, folder, manifest, cache / "models" / f"{task}-{digest}" / folder.name)

    @property
    def number(self) -> str:
        """The version's number."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """The path of the version, as the platform passes it around."""
        return self.directory / MANIFEST

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.bytes for file in self.manifest.files.values())

    def is_whole(self) -> bool:
        """Return whether the directory is there. Its files have the right sizes; they are not read."""
        return self.path.is_file() and all(
            (self.directory / name).is_file() and (self.directory / name).stat().st_size == file.bytes
            for name, file in self.manifest.files.items()
        )

    def damaged_files(self) -> list[str]:
        """Return the names of the files that are missing or have another content than the manifest says."""
        return [name for name, file in self.manifest.files.items() if not matches(self.directory / name, file)]


def missing_error(version: PackagedVersion) -> SetupError:
    """Return the error of a version whose weights are not in the cache."""
    weights = f"weights of {version.task} {version.number}, {version.size / MiB:.0f} MiB,"
    return SetupError(
        f"The {weights} are not in {version.directory}.",
        f"Fetch them: `{COMMAND} {version.task}`.",
    )


def matches(path: Path, file: ModelFile) -> bool:
    """Return whether a path leads to this file. The content is read only if the size is right."""
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
