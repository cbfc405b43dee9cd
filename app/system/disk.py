"""Room on the disk, and a home that can be written to."""

import shutil
import tempfile
from pathlib import Path

from app.errors import SetupError

GiB = 1024**3
MIN_FREE_BYTES = 1 * GiB
WARNING_FREE_BYTES = 5 * GiB

DISK_REMEDY = "Free some space, or set HINDSIGHT_HOME to a directory on a larger disk."


def free(path: Path) -> int:
    """Free bytes on the disk that holds the path, which need not exist yet."""
    return shutil.disk_usage(_existing_parent(path)).free


def size(path: Path) -> int:
    """Bytes of the disk that holds the path, which need not exist yet."""
    return shutil.disk_usage(_existing_parent(path)).total


def _existing_parent(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def check_writable(home: Path) -> None:
    """Makes the home if need be; a SetupError when it cannot be written to."""
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
    """A SetupError when there is too little room to start, a warning when it is getting short."""
    left = free(home)
    message = f"{left / GiB:.1f} GiB are free on the disk of {home}"
    if left < MIN_FREE_BYTES:
        raise SetupError(f"Only {message}: too little for an event log that loses nothing.", DISK_REMEDY)
    return f"Only {message}. {DISK_REMEDY}" if left < WARNING_FREE_BYTES else None
