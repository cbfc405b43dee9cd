"""Fine-tune the detector on feedback, while its maps stay what they were on other scenes.

Each step takes scenes of all kinds: corrected, positive, negative, and rehearsed ones. On rehearsed scenes the maps are
held to the parent's (Li and Hoiem, "Learning without forgetting", ECCV 2016), also on mixtures
of two scenes, far from all others: that preserves the function, not only its answers to known objects (Beyer
et al., "Knowledge distillation: a good teacher is patient and consistent", CVPR 2022).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.random import Generator
from numpy.typing import NDArray

from models.nn.convolution import Parameters
from models.small.object_detection.data.examples import Examples
from models.small.object_detection.training.augmentation import augmented
from models.small.object_detection.training.fitting import Fitting, mirrored, optimiser_of
from models.small.object_detection.training.losses import distance, scene_loss
from models.small.object_detection.training.negative_feedback import NegativeScenes, unlikelihood_loss
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration

Squares = NDArray[np.uint8]
BATCH = 16
"""Scenes that losses are measured on at once."""


@dataclass(frozen=True)
class FineTuningPlan:
    """How to fit: the seed, steps, the scenes of each kind in a step, the learning rate, and how much rewards count.

    Rewards carry less information than corrections: fewer of their scenes are in a step, and these count less.
    """

    seed: int = 0
    steps: int = 260
    rehearsed: int = 8
    corrected: int = 16
    rewarded: int = 8
    reward_weight: float = 0.5
    rate: float = 3e-3
    decay: float = 1e-2
    warm_up: float = 0.05
    box_weight: float = 1.0
    most_repeats: int = 25
    """No scene is fitted more often than this: few scenes mean fewer steps."""


@dataclass(frozen=True)
class TuningScenes:
    """Corrected scenes; positive ones, and how much each counts, (n,); negative ones; what makes scores of logits."""

    corrected: Examples
    positive: Examples
    weights: NDArray[np.float32]
    negative: NegativeScenes
    calibration: Calibration

    def steps(self, plan: FineTuningPlan) -> int:
        """Return how many there are to be."""
        rewarded = max(len(self.weights), len(self.negative.weights)) / plan.rewarded
        most = max(len(self.corrected.squares) / plan.corrected, rewarded) * plan.most_repeats
        return min(plan.steps, max(1, int(most)))


def fit_further(
    network: Detector,
    parent: Parameters,
    tuning: TuningScenes,
    rehearsed: Squares,
    plan: FineTuningPlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Parameters:
    """Return parameters fitted from the parent's on; the same for the same arguments. `on_step(step, steps, loss)`."""
    steps = tuning.steps(plan)
    optimiser, step = _compiled(network, plan, steps, tuning.calibration)
    fitting = Fitting.of(parent)
    state = optimiser.init(fitting)
    alike = np.ones(len(tuning.corrected.squares), np.float32)
    batches = zip(
        _mixed(rehearsed, plan),
        _taught(tuning.corrected, alike, plan.corrected, np.random.default_rng([plan.seed, 1])),
        _taught(tuning.positive, tuning.weights, plan.rewarded, np.random.default_rng([plan.seed, 3])),
        _negative(tuning.negative, plan),
        strict=True,
    )
    for number in range(1, steps + 1):
        fitting, state, value = step(parent, fitting, state, *next(batches))
        on_step(number, steps, float(value))
    return fitting.standardised()


@cache
def _compiled(network: Detector, plan: FineTuningPlan, steps: int, calibration: Calibration) -> tuple[Any, Any]:
    """Return the optimiser and its step: compiled once for all fittings by a plan."""
    optimiser = optimiser_of(plan.rate, plan.warm_up, plan.decay, steps)
    taught_loss, worse_loss = _losses(network, plan.box_weight, calibration)

    def loss(fitting: Fitting, old: Any, corrected: Any, positive: Any, negative: NegativeScenes | None) -> jax.Array:
        ready = fitting.standardised()
        squares, *maps = old
        value = distance(*network.maps(ready, squares), *maps)
        for taught, part in ((corrected, 1.0), (positive, plan.reward_weight)):
            if taught is not None:
                value += part * taught_loss(ready, *taught)
        if negative is not None:
            value += plan.reward_weight * worse_loss(ready, negative)
        return value

    @jax.jit
    def step(parent: Parameters, fitting: Fitting, state: Any, squares: Any, *feedback: Any) -> tuple[Any, ...]:
        value, slopes = jax.value_and_grad(loss)(fitting, (squares, *network.maps(parent, squares)), *feedback)
        updates, state = optimiser.update(slopes, state, fitting)
        return optax.apply_updates(fitting, updates), state, value

    return optimiser, step


@cache
def _losses(network: Detector, box_weight: float, calibration: Calibration) -> tuple[Any, Any]:
    """Return the loss of taught scenes, and that of negative ones, compiled."""

    @jax.jit
    def taught_loss(parameters: Parameters, squares: jax.Array, *truth: jax.Array) -> jax.Array:
        boxes, labels, weights = truth
        return scene_loss(*network.maps(parameters, squares), boxes, labels, box_weight, weights)

    @jax.jit
    def worse_loss(parameters: Parameters, scenes: NegativeScenes) -> jax.Array:
        logits, _ = network.maps(parameters, jnp.asarray(scenes.squares))
        return unlikelihood_loss(calibration.slope * logits + calibration.offset, scenes)

    return taught_loss, worse_loss


def _rows(number: int, size: int, rng: Generator) -> Iterator[NDArray[np.int64]]:
    """Yield `size` of `number` rows without end; all occur before one occurs again."""
    waiting = np.zeros(0, np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(number)])
        yield waiting[:size]
        waiting = waiting[size:]


def _mixed(squares: Squares, plan: FineTuningPlan) -> Iterator[Squares]:
    """Yield scenes mixed with others: mirrored, with permuted colours, at most half transparent."""
    rng = np.random.default_rng([plan.seed, 0])
    for rows in _rows(len(squares), plan.rehearsed, rng):
        own = squares[rows][:, :, :: rng.choice([-1, 1])]
        other = rng.permutation(own)[:, :, :: rng.choice([-1, 1])][..., rng.permutation(3)]
        share = rng.uniform(0.0, 0.5, (len(own), 1, 1, 1))
        yield ((1 - share) * own + share * other).astype(np.uint8)


def _taught(
    examples: Examples, weights: NDArray[np.float32], size: int, rng: Generator
) -> Iterator[tuple[Any, ...] | None]:
    while not len(weights):
        yield None
    for rows in _rows(len(weights), size, rng):
        squares, boxes = examples.squares[rows], examples.boxes[rows]
        if rng.random() < 0.5:
            squares, boxes = mirrored(squares, boxes)
        yield *augmented(squares, boxes, examples.labels[rows], rng), weights[rows]


def _negative(negative: NegativeScenes, plan: FineTuningPlan) -> Iterator[NegativeScenes | None]:
    rng = np.random.default_rng([plan.seed, 2])
    while not len(negative.weights):
        yield None
    for rows in _rows(len(negative.weights), plan.rewarded, rng):
        batch = negative.taken(rows)
        yield batch.mirrored() if rng.random() < 0.5 else batch


def mean_losses(
    network: Detector, ways: Sequence[Parameters], tuning: TuningScenes, plan: FineTuningPlan
) -> list[float]:
    """Return the loss with each of some parameters: of each kind of scenes the mean, 0 where there are none.

    In full batches, so that some scenes may count twice.
    """
    taught_loss, worse_loss = _losses(network, plan.box_weight, tuning.calibration)

    def batches(examples: Examples, weights: NDArray[np.float32]) -> list[tuple[Any, ...]]:
        return [
            (examples.squares[rows], examples.boxes[rows], examples.labels[rows], weights[rows])
            for rows in _full_batches(len(weights))
        ]

    corrected = batches(tuning.corrected, np.ones(len(tuning.corrected.squares), np.float32))
    positive = batches(tuning.positive, tuning.weights)
    negative = [tuning.negative.taken(rows) for rows in _full_batches(len(tuning.negative.weights))]

    def loss(parameters: Parameters) -> float:
        right = _mean([float(taught_loss(parameters, *batch)) for batch in corrected])
        better = _mean([float(taught_loss(parameters, *batch)) for batch in positive])
        worse = _mean([float(worse_loss(parameters, batch)) for batch in negative])
        return right + plan.reward_weight * (better + worse)

    return [loss(parameters) for parameters in ways]


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def _full_batches(number: int) -> NDArray[np.int64]:
    return np.resize(np.arange(number), (-(-number // BATCH), BATCH))
