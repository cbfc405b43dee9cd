"""The task `scales` whose training can be paused, so that a test meets a run in progress."""

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
    """Its training waits while HINDSIGHT_HOME has the file `wait`, and writes its process id into `trainer` there."""

    trainer = "tests.support.scales.patient:train_patiently"


def train_patiently(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Train as `Scales` do once training is not paused."""
    home = Path(os.environ["HINDSIGHT_HOME"])
    while (home / "wait").exists():
        (home / "trainer").write_text(str(os.getpid()))
        time.sleep(0.05)
    return train(task, dataset, parent, seed, on_step)


def pause_training(settings: Settings) -> None:
    """Let each training wait."""
    (settings.home / "wait").touch()


def resume_training(settings: Settings) -> None:
    """Let each training continue."""
    (settings.home / "wait").unlink()


async def training_pid(settings: Settings) -> int | None:
    """Return the process of a training that waits, if there is one."""
    with suppress(OSError, ValueError):
        return int(await asyncio.to_thread((settings.home / "trainer").read_text))
    return None


async def next_training_pid(settings: Settings, before: int) -> int | None:
    """Return the process of a training that waits, unless it is `before`."""
    pid = await training_pid(settings)
    return None if pid == before else pid


async def is_gone(pid: int) -> bool:
    """Return whether the process has ended."""
    return not psutil.pid_exists(pid)
