"""Finds and kills whatever a platform has left running: children of its children, and what outlived a `kill -9`.

`python -m app.embedded.orphans HOME PATTERN` is the guard: it waits for the supervisor to end, by whatever cause (its
standard input closes), and kills what that has left.
"""

import signal
import sys
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import psutil

PROCESS_VARIABLE = (
    "HINDSIGHT_PROCESS"  # in the environment of each process: the supervisor's pid and the process's name, 4711/api
)
KILL_TIMEOUT_SECONDS = 10.0


def find_processes(home: Path, pattern: str = "*/*") -> list[psutil.Process]:
    """The processes that the supervisor of this home has started, directly or not: their environment says so."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("HINDSIGHT_HOME") == str(home) and fnmatch(environment.get(PROCESS_VARIABLE, ""), pattern):
            found.append(process)
    return found


def owning_process_name(process: psutil.Process, home: Path) -> str | None:
    """The name of the process of this home's platform that it is, or is a child of; None where it is neither."""
    try:
        environment = process.environ()
    except psutil.Error:
        return None
    ours = environment.get("HINDSIGHT_HOME") == str(home)
    return environment.get(PROCESS_VARIABLE, "").partition("/")[2] or None if ours else None


def kill_processes(home: Path, pattern: str = "*/*") -> list[int]:
    """Kills them all, and waits until they are gone. Their process ids."""
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    # Again and again, for what was being started meanwhile. Not psutil's wait: that would take the exit code of a child
    # of this very process from whoever waits for it.
    while (found := find_processes(home, pattern)) and time.monotonic() < deadline:
        for process in found:
            with suppress(psutil.Error):
                process.kill()
            killed.add(process.pid)
        time.sleep(0.02)
    return sorted(killed)


def main(home: str, pattern: str) -> None:
    """The guard."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_processes(Path(home), pattern)


if __name__ == "__main__":
    main(*sys.argv[1:])
