"""Status of the platform, written by its supervisor, and restart requests to the supervisor.

`hindsight status` and the overview read HINDSIGHT_HOME/status.json. `hindsight restart` writes into
HINDSIGHT_HOME/restarts, which the supervisor polls. Only the owner can read either.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.monitoring.task_status import TaskStatus

ProcessState = Literal["running", "starting", "not answering", "ended"]
RECENT_SECONDS = 300.0
"""A restart is a problem worth mentioning for so long."""
STALE_SECONDS = 30.0
"""An older status says nothing: the supervisor hangs, or has ended."""


@dataclass(frozen=True)
class ProcessStatus:
    """Status of one process of the Procfile."""

    name: str
    state: ProcessState
    pid: int | None
    since: float | None
    """Unix time of the start."""
    restarts: int
    reason: str = ""
    """Reason of the last restart."""
    restarted: float | None = None
    """Unix time of the last restart."""
    waits: str = ""
    """What the process waits for, by its own report."""

    @property
    def is_healthy(self) -> bool:
        """Whether the process runs and answers."""
        return self.state == "running"


@dataclass(frozen=True)
class PlatformStatus:
    """Status of the platform."""

    pid: int
    time: float
    processes: list[ProcessStatus] = field(default_factory=list)
    tasks: list[TaskStatus] = field(default_factory=list)
    unknown: str = ""
    """Why the status of the tasks is unknown; empty if it is known."""

    @property
    def is_healthy(self) -> bool:
        """Whether every process and every task is healthy."""
        processes_healthy = all(process.is_healthy for process in self.processes)
        return processes_healthy and all(task.is_healthy for task in self.tasks) and not self.unknown

    @property
    def is_fresh(self) -> bool:
        """Whether the status is recent."""
        return time.time() - self.time < STALE_SECONDS


def write_status(home: Path, status: PlatformStatus) -> None:
    """Write the status. Raises OSError."""
    path = home / "status.json"
    temporary = path.with_suffix(".tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(asdict(status)))
    temporary.replace(path)


def read_status(home: Path) -> PlatformStatus | None:
    """Return the last status, or None if there is none that can be read."""
    try:
        document: dict[str, Any] = json.loads((home / "status.json").read_text())
        document["processes"] = [ProcessStatus(**process) for process in document["processes"]]
        document["tasks"] = [TaskStatus(**task) for task in document["tasks"]]
        return PlatformStatus(**document)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def process_problems(status: PlatformStatus | None, now: float) -> list[str]:
    """Return the unhealthy processes, and the recent restarts with their reasons. Empty without a supervisor."""
    if status is None or not status.is_fresh:
        return []
    problems = []
    for process in status.processes:
        if not process.is_healthy:
            problems.append(f"{process.name}: {process.state}")
        if process.restarted is not None and now - process.restarted < RECENT_SECONDS:
            restarted = time.strftime("%H:%M:%S", time.localtime(process.restarted))
            problems.append(f"{process.name} was restarted at {restarted}: {process.reason}")
    return problems


def request_restart(home: Path, name: str) -> None:
    """Ask the supervisor to restart a process. Raises OSError."""
    folder = home / "restarts"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / name).touch(0o600)


def take_restart_requests(home: Path) -> list[str]:
    """Return the processes to restart, and remove their requests."""
    names = []
    for path in (home / "restarts").glob("*"):
        path.unlink(missing_ok=True)
        names.append(path.name)
    return names
