"""Which code fitted a model."""

import subprocess
from importlib.metadata import version

from app.settings import CHECKOUT


def code_version() -> str:
    """The checkout's commit, marked where files differ from it; without one, the package's version."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return version("hindsight")
    return said.stdout.strip()
