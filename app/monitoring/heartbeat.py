"""Heartbeats: a process's main loop writes one each second into a file, which its supervisor reads.

A process that hangs writes none, even if its other threads answer. The file is HINDSIGHT_HOME/heartbeats/PID; its
modification time is that of the last heartbeat, its text lists what the process waits for, one reason a line.
"""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

from prometheus_client import Gauge

BEAT_SECONDS = 1.0

AGE = Gauge("hindsight_heartbeat_age_seconds", "Seconds since the main loop of this process moved.")
_waits: dict[str, str] = {}


def heartbeat_path(home: Path, pid: int) -> Path:
    """Return the file of a process's heartbeats."""
    return home / "heartbeats" / str(pid)


def report_wait(stage: str, reason: str) -> None:
    """Record that a stage of this process waits for a dependency and retries."""
    _waits[stage] = reason


def clear_wait(stage: str) -> None:
    """Record that the stage waits no longer."""
    _waits.pop(stage, None)


class Heartbeat:
    """Heartbeat of this process."""

    def __init__(self, home: Path) -> None:
        self._path = heartbeat_path(home, os.getpid())
        self._text: str | None = None
        self._last = time.monotonic()
        AGE.set_function(lambda: time.monotonic() - self._last)

    def beat(self) -> None:
        """Write a heartbeat. Ignore a disk that cannot be written."""
        self._last = time.monotonic()
        text = "\n".join(f"{stage}: {' '.join(reason.split())}" for stage, reason in _waits.items())
        with suppress(OSError):
            if text != self._text:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(text)
                self._text = text
            else:
                os.utime(self._path)

    def schedule_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write a heartbeat each second from this loop, as long as it runs."""
        self.beat()
        loop.call_later(BEAT_SECONDS, self.schedule_on, loop)
