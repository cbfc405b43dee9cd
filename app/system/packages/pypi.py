"""Wheels, fetched by pip: index, proxies, certificates and credentials are those of pip's configuration.

pip repeats what fails and resumes what is cut off.
"""

import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path

from app.errors import SetupError
from app.system import parent_death
from app.system.downloads import LOCAL_ERRNOS
from app.system.packages.progress import OnBytes

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_LOCAL_ERROR = re.compile(r"(?:ERROR: .*|\w*Error: )\[Errno (\d+)\] ([^:]*)")
"""A message of pip, or the end of a traceback."""
_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--ignore-requires-python"),  # we read files in it, and never run it
    *("--no-cache-dir", "--progress-bar=raw", "--no-input", "--disable-pip-version-check"),
)


def download(name: str, platform: str, folder: Path, on_bytes: OnBytes) -> Path:
    """Fetch a wheel into a folder and return its path. `platform` is empty for that of this machine.

    Raises `SetupError`, or OSError if it can't be written.
    """
    options = [*_OPTIONS, *([f"--platform={platform}"] if platform else []), f"--dest={folder}"]
    # It dies with us: nothing is written to the cache any more.
    guard = (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()))
    messages: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        [*guard, sys.executable, "-m", "pip", "download", *options, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(folder)},
    ) as pip:
        for line in pip.stdout or ():
            if progress := _PROGRESS.match(line):
                on_bytes(int(progress[1]), int(progress[2]) or None)
            else:
                messages.append(line.strip())
    if pip.returncode == 0:
        return next(folder.glob("*.whl"))
    for local in filter(None, map(_LOCAL_ERROR.match, messages)):
        if int(local[1]) in LOCAL_ERRNOS:
            raise OSError(int(local[1]), local[2])
    problems = [line for line in messages if line.startswith(("WARNING: ", "ERROR: "))]
    reason = "; ".join(problems[-3:] if "ERROR: Exception:" not in messages else [messages[-1]])
    raise SetupError(
        f"{name} cannot be fetched by pip: {reason}",
        "Check the network, and pip's index and proxy (`python -m pip config list`, HTTPS_PROXY, PIP_INDEX_URL), then "
        "run the same command again: it keeps what is whole.",
    )
