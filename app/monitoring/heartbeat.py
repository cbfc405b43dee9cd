"""Heartbeats: a process's main loop writes one each second into a file, which its supervisor looks at.

A process that hangs does not beat, however well its other threads answer. The file is HINDSIGHT_HOME/heartbeats/PID;
its time is that of the last beat, its text says what the process waits for, one reason a line.
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
    """The file of a process's heartbeats."""
    return home / "heartbeats" / str(pid)


def report_wait(stage: str, reason: str) -> None:
    """Note that a stage of this process waits for what is away, and tries again."""
    _waits[stage] = reason


def clear_wait(stage: str) -> None:
    """Note that the stage goes on."""
    _waits.pop(stage, None)


class Heartbeat:
    """The heartbeat of this process."""

    def __init__(self, home: Path) -> None:
        self._path = heartbeat_path(home, os.getpid())
        self._text: str | None = None
        self._last = time.monotonic()
        AGE.set_function(lambda: time.monotonic() - self._last)

    def beat(self) -> None:
        """Say that the main loop moves. A disk that can't be written is no reason to end."""
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
        """Beat each second from this loop, for as long as it runs."""
        self.beat()
        loop.call_later(BEAT_SECONDS, self.schedule_on, loop)
