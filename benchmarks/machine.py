"""A description of the machine on which the figures were measured."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from app.settings import CHECKOUT, MiB, Settings

PACKAGES = ("onnxruntime", "numpy", "pillow", "aiokafka", "faust-streaming", "apache-flink", "mlserver", "grpcio")
IGNORED_SETTINGS = {"home", "demo", "kafka_bootstrap"}


def describe_machine(settings: Settings) -> dict[str, str]:
    """Return the machine, the versions, and the settings that differ from the defaults."""
    load = os.getloadavg()
    description = {
        "cores": str(usable_cores()),
        "processor": _processor(),
        "memory": f"{psutil.virtual_memory().total / MiB / 1024:.1f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load before": f"{load[0]:.2f} over 1 min, {load[1]:.2f} over 5 min",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "commit": _commit(),
    }
    changed = {
        name: value
        for name, value in settings
        if name not in IGNORED_SETTINGS
        and not name.endswith("_port")
        and value != type(settings).model_fields[name].default
    }
    description["settings"] = ", ".join(f"{name}={value}" for name, value in changed.items()) or "the defaults"
    return description


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip()
