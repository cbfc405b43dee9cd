"""Outages of a storage that is a directory. Each works for root as well, or is left out."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

Outage = Callable[[], AbstractContextManager[None]]

DISK_SIZE = "256m"


class MountedStorage:
    """A storage behind a link, so that it can be removed at once; mounted with a size of its own if permitted."""

    def __init__(self, link: Path, real: Path, mounted: bool) -> None:
        self.link = link
        self.uri = link.as_uri()
        self._real = real
        self._mounted = mounted

    def list_outages(self) -> dict[str, Outage]:
        """Return the outages that are possible on this machine."""
        outages: dict[str, Outage] = {"away": self.remove_directory}
        if self._mounted:
            outages |= {"full": self.fill_disk, "read-only": self.remount_read_only}
        elif os.geteuid():
            outages |= {"read-only": self.deny_writes}
        return outages

    @contextmanager
    def remove_directory(self) -> Iterator[None]:
        """Remove the directory, so that it cannot be made again, for as long as the block lasts."""
        self._relink(self._real.with_name("nowhere"))
        try:
            yield
        finally:
            self._relink(self._real)

    @contextmanager
    def fill_disk(self) -> Iterator[None]:
        """Fill the disk for as long as the block lasts."""
        filler = self._real / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def remount_read_only(self) -> Iterator[None]:
        """Mount the file system read-only for as long as the block lasts."""
        while _run("mount", "-o", "remount,ro", str(self._real)):  # it is busy while something is written
            pass
        try:
            yield
        finally:
            assert not _run("mount", "-o", "remount,rw", str(self._real))

    @contextmanager
    def deny_writes(self) -> Iterator[None]:
        """Deny everybody to write for as long as the block lasts."""
        modes = {path: path.stat().st_mode for path in [self._real, *self._real.rglob("*")] if path.is_dir()}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)

    def _relink(self, target: Path) -> None:
        scratch = self.link.with_name("link")
        scratch.symlink_to(target)
        scratch.replace(self.link)


@contextmanager
def mount_storage(parent: Path, size: str = DISK_SIZE) -> Iterator[MountedStorage]:
    """Provide a storage below a directory for as long as the block lasts."""
    parent.mkdir(parents=True, exist_ok=True)
    real, link = parent / "real", parent / "storage"
    real.mkdir()
    link.symlink_to(real)
    mounted = not os.geteuid() and not _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(real))
    try:
        yield MountedStorage(link, real, mounted)
    finally:
        if mounted:
            assert not _run("umount", "--lazy", str(real))


def _run(*words: str) -> int:
    """Run a command and return its exit code."""
    if shutil.which(words[0]) is None:
        return 127
    return subprocess.run(words, check=False, capture_output=True).returncode
