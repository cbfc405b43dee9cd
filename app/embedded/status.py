"""The supervisor's word on the platform, in a file, and what it is asked for, in another: both of its owner alone.

`hindsight status` and the overview read HINDSIGHT_HOME/status.json; `hindsight restart` writes into
HINDSIGHT_HOME/restarts, which the supervisor looks at.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.monitoring.task_status import TaskStatus

RECENT_SECONDS = 300.0
ProcessState = Literal["running", "starting", "not answering", "ended"]
STALE_SECONDS = 30.0
"""A word that is older is none: the supervisor hangs, or has ended."""


@dataclass(frozen=True)
class ProcessStatus:
    """One process of the Procfile."""

    name: str
    state: ProcessState
    pid: int | None
    since: float | None
    """Unix time of its start."""
    restarts: int
    reason: str = ""
    """Why it was started again the last time."""
    restarted: float | None = None
    """When that was."""
    waits: str = ""
    """What it says that it waits for."""

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with it now."""
        return self.state == "running"


@dataclass(frozen=True)
class PlatformStatus:
    """The platform."""

    pid: int
    time: float
    processes: list[ProcessStatus] = field(default_factory=list)
    tasks: list[TaskStatus] = field(default_factory=list)
    unknown: str = ""
    """Why nothing is known of the tasks."""

    @property
    def is_healthy(self) -> bool:
        """Whether all is well."""
        processes, tasks = (all(one.is_healthy for one in many) for many in (self.processes, self.tasks))
        return processes and tasks and not self.unknown

    @property
    def is_fresh(self) -> bool:
        """Whether it is of now."""
        return time.time() - self.time < STALE_SECONDS


def write_status(home: Path, status: PlatformStatus) -> None:
    """Raises OSError."""
    path = home / "status.json"
    scratch = path.with_suffix(".tmp")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(asdict(status)))
    scratch.replace(path)


def read_status(home: Path) -> PlatformStatus | None:
    """The last word; None where there is none."""
    try:
        found: dict[str, Any] = json.loads((home / "status.json").read_text())
        processes = [ProcessStatus(**one) for one in found.pop("processes")]
        return PlatformStatus(
            **found | {"processes": processes, "tasks": [TaskStatus(**one) for one in found["tasks"]]}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def process_problems(found: PlatformStatus | None, now: float) -> list[str]:
    """What is wrong with the processes, and which were started again of late and why; nothing without a supervisor."""
    if found is None or not found.is_fresh:
        return []
    said = []
    for one in found.processes:
        if not one.is_healthy:
            said.append(f"{one.name}: {one.state}")
        if one.restarted is not None and now - one.restarted < RECENT_SECONDS:
            when = time.strftime("%H:%M:%S", time.localtime(one.restarted))
            said.append(f"{one.name} was started again at {when}: {one.reason}")
    return said


def request_restart(home: Path, name: str) -> None:
    """Ask the supervisor to start a process again. Raises OSError."""
    folder = home / "restarts"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / name).touch(0o600)


def take_restart_requests(home: Path) -> list[str]:
    """The processes that are to be started again; each is told once."""
    names = []
    for path in (home / "restarts").glob("*"):
        path.unlink(missing_ok=True)
        names.append(path.name)
    return names
