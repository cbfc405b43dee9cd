"""Processes that a platform has left running: children of its children, and survivors of a `kill -9`.

`orphans.py HOME PATTERN` is the orphan guard: it waits until the supervisor has ended, for whatever cause (its standard
input closes), and kills the processes that are left. It imports nothing of ours, so that it starts and ends at once.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import psutil

PROCESS_VARIABLE = "HINDSIGHT_PROCESS"
"""Environment variable of each process: the supervisor's pid and the process's name, as in `4711/api`."""
KILL_TIMEOUT_SECONDS = 10.0


def find_processes(home: Path, pattern: str = "*/*") -> list[psutil.Process]:
    """Return the processes that the supervisor of this home has started, directly or not, by their environment."""
    matches = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("HINDSIGHT_HOME") == str(home) and fnmatch(environment.get(PROCESS_VARIABLE, ""), pattern):
            matches.append(process)
    return matches


def owning_process_name(process: psutil.Process, home: Path) -> str | None:
    """Return the name of the process of this home's platform that it is, or is a child of; None if it is neither."""
    try:
        environment = process.environ()
    except psutil.Error:
        return None
    if environment.get("HINDSIGHT_HOME") != str(home):
        return None
    return environment.get(PROCESS_VARIABLE, "").partition("/")[2] or None


def kill_processes(home: Path, pattern: str = "*/*") -> list[int]:
    """Kill these processes and wait until they have ended. Return their process ids."""
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    # Repeated, for processes that were being started meanwhile. Not psutil's wait: it would consume the exit code of a
    # child of this process, for which other code waits.
    while (processes := find_processes(home, pattern)) and time.monotonic() < deadline:
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
            killed.add(process.pid)
        time.sleep(0.02)
    return sorted(killed)


def start_guard(home: Path) -> subprocess.Popen[bytes]:
    """Start a process that kills this supervisor's processes, and their children, once the supervisor has ended."""
    return subprocess.Popen(
        [sys.executable, "-P", __file__, str(home), f"{os.getpid()}/*"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def main(home: str, pattern: str) -> None:
    """Run the orphan guard."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_processes(Path(home), pattern)


if __name__ == "__main__":
    main(*sys.argv[1:])
