"""The task `scales` whose trainings differ by chance: how far off a version is depends on its seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.base import OnStep, Task, Trained
from tests.support.scales import Scales, make_scale_model, train


class VariedScales(Scales):
    """Each training misses what it has learned by up to 3."""

    trainer = "tests.support.scales.varied:train_by_chance"


def train_by_chance(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Train as `Scales` do, and miss it by what the seed says."""
    trained = train(task, dataset, parent, seed, on_step)
    missed = float(np.random.default_rng(seed).integers(7)) / 2
    figures = {"off": trained.card["figures"]["off"] + missed, "missed": missed}
    return replace(trained, model=make_scale_model(figures["off"]), card={"figures": figures})
