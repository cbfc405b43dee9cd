"""Lock of HINDSIGHT_HOME: two platforms would overwrite each other's state."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from app.errors import SetupError


class HomeLock:
    """Locked file in the home. The kernel releases the lock when the process ends, for whatever cause."""

    def __init__(self, home: Path) -> None:
        self.path = home / "platform.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> str | None:
        """Take the lock, or raise a SetupError that names its holder. Return a note if a dead holder left it behind."""
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise self._locked_error(error) from error
        previous = _read_holder(self.path)
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "started": datetime.now(UTC).isoformat(timespec="seconds")}))
        file.flush()
        self._file = file
        if previous:
            return f"Process {previous['pid']} (started {previous['started']}) ended without cleaning up. Taking over."
        return None

    def release(self) -> None:
        """Release the lock. The empty file stays: removing it could unlock what another process has just locked."""
        if self._file:
            self._file.truncate(0)
            self._file.close()
            self._file = None

    def _locked_error(self, error: OSError) -> SetupError:
        if not isinstance(error, BlockingIOError):
            return SetupError(
                f"{self.path} cannot be locked: {error.strerror}.",
                "Set HINDSIGHT_HOME to a directory on a local disk. Some network file systems do not support locks.",
            )
        holder = _read_holder(self.path) or {"pid": "unknown", "started": "just now"}
        return SetupError(
            f"A platform already runs in {self.path.parent}: process {holder['pid']}, started {holder['started']}.",
            f"Stop it with Ctrl-C in its terminal or `kill {holder['pid']}`, or set HINDSIGHT_HOME and "
            "HINDSIGHT_PORT_BASE to give this platform its own home and ports.",
        )


def holder_pid(home: Path) -> int | None:
    """Return the process id of the platform that runs in this home, or None."""
    path = home / "platform.lock"
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int((_read_holder(path) or {"pid": 0})["pid"])
    except OSError:
        pass
    return None


def _read_holder(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content
