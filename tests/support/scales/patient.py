"""Scales that are trained only while nothing says wait: a run that can be caught in the act."""

import os
import time
from pathlib import Path

from models.base import OnStep, Trained
from tests.support.scales import Scales


class PatientScales(Scales):
    """Its training waits for as long as the file `wait` is in HINDSIGHT_HOME, and writes its process id there."""

    def train(self, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
        home = Path(os.environ["HINDSIGHT_HOME"])
        (home / "trainer").write_text(str(os.getpid()))
        while (home / "wait").exists():
            time.sleep(0.05)
        return super().train(dataset, parent, seed, on_step)
