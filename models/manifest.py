"""What a version consists of: a `model.onnx`, or a `manifest.json` and the files that it lists.

The files lie beside the manifest. Wherever the platform passes the path of a version, it is that of either file.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

MANIFEST, MODEL = "manifest.json", "model.onnx"
ONNX_RUNTIME = "onnx"
"""The runtime of one ONNX file whose inputs and outputs are the version's."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Package(_Part):
    """A published package that a file is taken from."""

    index: str = Field(pattern="^(pypi|npm)$", description="Where packages of this kind are published: pypi or npm.")
    name: str = Field(
        pattern=r"^@?[A-Za-z0-9][A-Za-z0-9._/-]*==[A-Za-z0-9][A-Za-z0-9.+_-]*$",
        description="The package's name and exact version, such as rapidocr==3.10.0.",
    )
    platform: str = Field("", description="That of the wheel, such as manylinux_2_34_x86_64, if others don't have it.")
    members: tuple[str, ...] = Field(
        description="The paths in the package, in the order in which `convert` takes them."
    )
    convert: str | None = Field(
        None, description="module:function that makes the file from the members' contents; none takes the only member."
    )


class ModelFile(_Part):
    """One file of a version."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    package: Package | None = Field(None, description="Where set-up takes it from; none where it lies in the folder.")


class Tensor(_Part):
    """An input or an output: its type by the Open Inference Protocol, and its shape, -1 where it may vary."""

    datatype: str
    shape: tuple[int, ...]


class Manifest(_Part):
    """The content of a `manifest.json`."""

    runtime: str = Field(ONNX_RUNTIME, description="`onnx`, or module:Class of a `Runtime` or of an MLServer runtime.")
    files: dict[str, ModelFile] = Field(min_length=1, max_length=64)
    options: dict[str, JsonValue] = Field({}, description="What the runtime needs to know besides the files.")
    inputs: dict[str, Tensor] = Field({}, description="For runtimes that can't tell themselves.")
    outputs: dict[str, Tensor] = Field({}, description="For runtimes that can't tell themselves.")
    labels: tuple[str, ...] = Field((), description="The classes, in the order of the outputs.")
    licence: str = Field("", description="The licence of the weights, as an SPDX identifier.")
    source: str = Field("", description="Who made the weights, and of what.")

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return the manifest in a file. Raises `ValueError` if it is none."""
        try:
            manifest = cls.model_validate_json(content)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors())
            raise ValueError(f"{MANIFEST} is not valid: {problems}") from error
        if bad := [name for name in manifest.files if not _is_file_name(name)]:
            raise ValueError(f"{MANIFEST} is not valid: {bad[0]!r} is not the name of a file beside it")
        return manifest

    def content(self) -> bytes:
        """Return the canonical form, the same for equal manifests: its hash names the version's content."""
        return self.model_dump_json(indent=2, exclude_defaults=True).encode() + b"\n"


def _is_file_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in (MANIFEST, "card.json", "model-settings.json")


@dataclass(frozen=True)
class VersionFiles:
    """A version's files on this machine."""

    manifest: Manifest
    directory: Path

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the files of the version at `path`, a `model.onnx` or a `manifest.json`.

        Raises `ValueError` for an invalid manifest, OSError if it can't be read. The files themselves are not read.
        """
        if path.name == MANIFEST:
            return cls(Manifest.parse(path.read_bytes()), path.parent)
        return cls(Manifest(files={path.name: ModelFile(sha256="0" * 64, bytes=path.stat().st_size)}), path.parent)

    def path(self, name: str) -> Path:
        """Return the path of a file by its name. Raises `KeyError` if the manifest does not list it."""
        self.manifest.files[name]
        return self.directory / name

    def verify(self) -> None:
        """Raise `ValueError` if a file is missing or is not the one that the manifest names."""
        for name, expected in self.manifest.files.items():
            path = self.directory / name
            if not path.is_file():
                raise ValueError(f"{path} is missing")
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != expected.sha256:
                raise ValueError(f"{path} is not the file that the manifest names: its sha256 is {actual}")


def listed(files: Mapping[str, bytes]) -> dict[str, ModelFile]:
    """Return the manifest's entries for files with these contents."""
    return {
        name: ModelFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        for name, content in files.items()
    }


def largest_bytes(path: Path) -> int:
    """Return the size of the largest file of the version at `path`. Raises `ValueError` for an invalid manifest."""
    return max(_sizes(path))


def total_bytes(path: Path) -> int:
    """Return the size of all files of the version at `path`. Raises `ValueError` for an invalid manifest."""
    return sum(_sizes(path))


def _sizes(path: Path) -> list[int]:
    return [file.bytes for file in VersionFiles.of(path).manifest.files.values()]


def find_version(directory: Path) -> Path | None:
    """Return the path of the version in a directory; None if there is none."""
    return next((path for name in (MANIFEST, MODEL) if (path := directory / name).is_file()), None)


def place_file(source: Path, target: Path) -> None:
    """Let a file appear at `target` too, which it replaces: as a link if it is on the same disk, or as a copy."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)


def place_version(path: Path, directory: Path) -> Path:
    """Let the files of the version at `path` appear in a directory too; return its path there.

    Raises `ValueError` for an invalid manifest, OSError.
    """
    for name in VersionFiles.of(path).manifest.files if path.name == MANIFEST else ():
        place_file(path.with_name(name), directory / name)
    place_file(path, directory / path.name)
    return directory / path.name


def write_version(directory: Path, model: bytes, files: Mapping[str, bytes], parent: Path | None) -> Path:
    """Write a version that a trainer returned; return its path, which appears last.

    `model` is an ONNX file, or a manifest; then files that it lists and that are not in `files` are the parent's.
    Raises `ValueError` for an invalid manifest, OSError.
    """
    main = directory / (MANIFEST if model.startswith(b"{") else MODEL)
    for name in Manifest.parse(model).files if main.name == MANIFEST else ():
        if name in files:
            write_atomically(directory / name, files[name])
        elif parent is not None:
            directory.mkdir(parents=True, exist_ok=True)
            place_file(parent.with_name(name), directory / name)
    write_atomically(main, model)
    return main


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, and create its parent directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
