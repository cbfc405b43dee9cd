"""Files in a package's archive: a wheel, or a tarball of npm."""

import tarfile
import zipfile
import zlib
from collections.abc import Collection, Generator
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import IO

from app.errors import SetupError
from app.settings import MiB

MAX_MEMBER_BYTES = 2048 * MiB


def read_members(archive: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Return the contents of files by their paths in the package. Raises `SetupError` if one is not there.

    npm's tarballs have one folder around the package, which is no part of the paths.
    """
    names, contents = [], {}
    try:
        with closing(_open_members(archive)) as members:
            for name, size, file in members:
                names.append(name)
                if name in wanted:
                    contents[name] = _read(file, name, size)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise SetupError(f"{archive.name} is damaged: {error}.", "Run the same command again.") from error
    if missing := [name for name in wanted if name not in contents]:
        near = get_close_matches(missing[0], names, cutoff=0.4)
        raise SetupError(
            f"{archive.name} has no {missing[0]}, only {', '.join(near) or 'files of other names'}.",
            "Correct the `members` in the manifest: they are paths in the package.",
        )
    return contents


def _open_members(archive: Path) -> Generator[tuple[str, int, IO[bytes]], None, None]:
    """Yield the path, the size and the opened file of each member, in one pass over the archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                with wheel.open(entry) as file:
                    yield entry.filename, entry.file_size, file
        return
    with tarfile.open(archive, "r:gz") as tarball:
        for member in tarball:
            if (content := tarball.extractfile(member)) is not None:
                yield member.name.partition("/")[2], member.size, content


def _read(file: IO[bytes], name: str, size: int) -> bytes:
    if size > MAX_MEMBER_BYTES:
        raise SetupError(
            f"{name} has {size / MiB:.0f} MiB; at most {MAX_MEMBER_BYTES / MiB:.0f} are read.", "Name a smaller file."
        )
    return file.read()
