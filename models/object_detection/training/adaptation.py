"""Fit the last layers to corrections beside distillation on rehearsed pictures.

Hinton et al., "Distilling the knowledge in a neural network", 2015; Li and Hoiem, "Learning without forgetting", ECCV
2016; for detectors Shmelkov et al., "Incremental learning of object detectors without catastrophic forgetting", ICCV
2017.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from models.nn.convolution import Parameters
from models.nn.weight_interpolation import Trial, TunedParameters, interpolated, least_loss
from models.object_detection.training.cells import Cells, count, taken
from models.object_detection.training.losses import correction_loss, divergence

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The interpolation weights that are tried."""


@dataclass(frozen=True)
class Plan:
    """How the layers are fitted: AdamW, a warm-up and a cosine down to zero."""

    steps: int = 300
    pictures: int = 8
    """Of corrections in each step, and as many rehearsed ones."""
    rate: float = 1e-3
    decay: float = 0.0
    kept: float = 2.0
    """The weight of the divergence beside the loss of corrections."""
    most_divergence: float = 1.0
    """In nats a picture, and smooth L1 of its edges, on rehearsed pictures: a bound on what is forgotten."""
    seed: int = 0


PLAN = Plan()


@dataclass(frozen=True)
class CellSplits:
    """Cells to fit, and to choose by."""

    train: Cells
    validation: Cells | None


def adapt(
    start: Parameters,
    slope: float,
    corrected: CellSplits,
    rehearsed: CellSplits,
    plan: Plan,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> TunedParameters:
    """Return the parameters: as far from `start`, which adds nothing, as validation data shows that they are better.

    Without corrections to choose by, those that are fitted decide.
    """
    fitted = _fitted(start, slope, corrected.train, rehearsed.train, plan, on_step)
    measures = [
        jax.jit(lambda parameters, cells, loss=loss: loss(slope, parameters, cells))
        for loss in (correction_loss, divergence)
    ]
    judged = corrected.validation or corrected.train, rehearsed.validation or rehearsed.train

    def trial(share: float) -> Trial:
        parameters = interpolated(start, fitted, share)
        return Trial(
            share, *(_mean(measure, parameters, cells) for measure, cells in zip(measures, judged, strict=True))
        )

    trials = [trial(share) for share in SHARES]
    best = least_loss(trials, plan.most_divergence)
    return TunedParameters(interpolated(start, fitted, best.share), best.share, trials)


def _fitted(
    start: Parameters,
    slope: float,
    corrected: Cells,
    rehearsed: Cells,
    plan: Plan,
    on_step: Callable[[int, int], None],
) -> Parameters:
    optimiser = optax.adamw(
        optax.warmup_cosine_decay_schedule(0.0, plan.rate, plan.steps // 10, plan.steps), weight_decay=plan.decay
    )

    def loss(parameters: Parameters, given: Cells, kept: Cells) -> jax.Array:
        return correction_loss(slope, parameters, given) + plan.kept * divergence(slope, parameters, kept)

    @jax.jit
    def step(parameters: Parameters, state: Any, given: Cells, kept: Cells) -> tuple[Parameters, Any]:
        updates, state = optimiser.update(jax.grad(loss)(parameters, given, kept), state, parameters)
        return optax.apply_updates(parameters, updates), state

    rng, parameters, state = np.random.default_rng(plan.seed), start, optimiser.init(start)
    for number in range(plan.steps):
        drawn = (taken(cells, rng.integers(count(cells), size=plan.pictures)) for cells in (corrected, rehearsed))
        parameters, state = step(parameters, state, *drawn)
        on_step(number + 1, plan.steps)
    return parameters


def _mean(measure: Callable[[Parameters, Cells], jax.Array], parameters: Parameters, cells: Cells) -> float:
    """Return the mean of a measure over pictures, one at a time."""
    values = [float(measure(parameters, taken(cells, np.array([place])))) for place in range(count(cells))]
    return float(np.mean(values))
