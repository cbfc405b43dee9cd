"""Scales that are trained only while nothing says wait: a run that can be caught in the act."""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

from app.settings import Settings
from models.base import OnStep, Task, Trained
from tests.support.scales import Scales, train


class PatientScales(Scales):
    """Its training waits while the file `wait` is in HINDSIGHT_HOME, and meanwhile has its process id there."""

    trainer = "tests.support.scales.patient:train_patiently"


def train_patiently(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Train as `Scales` do, once nothing says wait."""
    home = Path(os.environ["HINDSIGHT_HOME"])
    while (home / "wait").exists():
        (home / "trainer").write_text(str(os.getpid()))
        time.sleep(0.05)
    return train(task, dataset, parent, seed, on_step)


def pause_training(settings: Settings) -> None:
    """Have whatever is trained wait."""
    (settings.home / "wait").touch()


def resume_training(settings: Settings) -> None:
    """Have it wait no more."""
    (settings.home / "wait").unlink()


async def training_pid(settings: Settings) -> int | None:
    """The process that waits, once there is one."""
    with suppress(OSError, ValueError):
        return int(await asyncio.to_thread((settings.home / "trainer").read_text))
    return None


async def next_training_pid(settings: Settings, before: int) -> int | None:
    """The one after that."""
    now = await training_pid(settings)
    return None if now == before else now


async def is_gone(pid: int) -> bool:
    """Whether the process is no more."""
    return not psutil.pid_exists(pid)
