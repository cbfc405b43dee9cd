"""The time that commands of `hindsight` take, beside a running platform."""

import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment

COMMANDS = ("--help", "status", "doctor")
RUNS = 3


@dataclass(frozen=True)
class CommandTime:
    """The median of a command's runs."""

    seconds: float
    cpu_seconds: float


def measure_commands(settings: Settings) -> dict[str, CommandTime]:
    """Run each command a few times, in a process without other children."""
    return {f"hindsight {command}": _measure(settings, command) for command in COMMANDS}


def _measure(settings: Settings, command: str) -> CommandTime:
    program, environment = Path(sys.executable).with_name("hindsight"), process_environment(settings)
    runs = []
    for _ in range(RUNS):
        started, cpu_started = time.perf_counter(), _children_seconds()
        subprocess.run(
            [program, command],
            env=environment,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        runs.append((time.perf_counter() - started, _children_seconds() - cpu_started))
    wall, cpu = zip(*runs, strict=True)
    return CommandTime(statistics.median(wall), statistics.median(cpu))


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
