"""Checks of the disk: free space, and whether the home can be written to."""

import shutil
import tempfile
from pathlib import Path

from app.errors import SetupError

GiB = 1024**3
MIN_FREE_BYTES = 1 * GiB
WARNING_FREE_BYTES = 5 * GiB

DISK_REMEDY = "Free some space, or set HINDSIGHT_HOME to a directory on a larger disk."


def free(path: Path) -> int:
    """Return the free bytes on the disk that holds a path, which may not exist yet."""
    return shutil.disk_usage(_existing_parent(path)).free


def size(path: Path) -> int:
    """Return the size in bytes of the disk that holds a path, which may not exist yet."""
    return shutil.disk_usage(_existing_parent(path)).total


def _existing_parent(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def check_writable(home: Path) -> None:
    """Create the home if it does not exist. Raises SetupError if it cannot be written to."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"hindsight")
            probe.flush()
    except OSError as error:
        raise SetupError(
            f"The state directory {home} cannot be written to: {error.strerror}.",
            "Make it writable for this user, or set HINDSIGHT_HOME to a directory that is.",
        ) from error


def check_space(home: Path) -> str | None:
    """Return a warning if space is short. Raises SetupError if there is too little to start."""
    free_bytes = free(home)
    message = f"{free_bytes / GiB:.1f} GiB are free on the disk of {home}"
    if free_bytes < MIN_FREE_BYTES:
        raise SetupError(f"Only {message}: too little for an event log that loses nothing.", DISK_REMEDY)
    return f"Only {message}. {DISK_REMEDY}" if free_bytes < WARNING_FREE_BYTES else None
