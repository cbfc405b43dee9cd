"""The version of the code that trains a model."""

import subprocess
from importlib.metadata import version

from app.settings import CHECKOUT


def code_version() -> str:
    """Return the checkout's commit, marked as dirty if files differ; without a commit, the package's version."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return version("hindsight")
    return described.stdout.strip()
