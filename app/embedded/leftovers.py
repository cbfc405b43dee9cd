"""Finds and kills whatever a platform has left running: children of its children, and what outlived a `kill -9`.

`python -m app.embedded.leftovers HOME PATTERN` is the guard: it waits for the supervisor to end, by whatever cause (its
standard input closes), and kills what that has left.
"""

import signal
import sys
from fnmatch import fnmatch
from pathlib import Path

import psutil

MARK = "HINDSIGHT_PROCESS"  # in the environment of each process: the supervisor's pid and the process's name, 4711/api
ROUNDS = 5  # more than one, for what was being started meanwhile


def find(home: Path, pattern: str = "*/*") -> list[psutil.Process]:
    """The processes that the supervisor of this home has started, directly or not: their environment says so."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("HINDSIGHT_HOME") == str(home) and fnmatch(environment.get(MARK, ""), pattern):
            found.append(process)
    return found


def kill(home: Path, pattern: str = "*/*") -> list[int]:
    """Kills them all, and waits until they are gone. Their process ids."""
    killed: list[int] = []
    for _ in range(ROUNDS):
        found = find(home, pattern)
        for process in found:
            try:
                process.kill()
            except psutil.Error:
                continue
            killed.append(process.pid)
        if not found:
            break
        psutil.wait_procs(found, timeout=5)
    return killed


def main(home: str, pattern: str) -> None:
    """The guard."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill(Path(home), pattern)


if __name__ == "__main__":
    main(*sys.argv[1:])
