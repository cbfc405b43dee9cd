"""Packages of a peer that are not the project's, in a folder of their own: they never meet the project's lock."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.settings import Settings
from benchmarks.child_process import BenchmarkError

INSTALL_SECONDS = 300.0


def install(settings: Settings, packages: Sequence[str]) -> Path:
    """Install these packages, with all that they need, unless they are; return the folder, for PYTHONPATH."""
    name = hashlib.sha256(" ".join([*packages, sys.version]).encode()).hexdigest()[:12]
    folder = settings.cache / "peers" / name
    if folder.exists():
        return folder
    partial = folder.with_suffix(f".{os.getpid()}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(partial), *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        partial.rename(folder)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "stderr", None) or error
        raise BenchmarkError(f"{' '.join(packages)} can't be installed: {reason}") from error
    return folder
