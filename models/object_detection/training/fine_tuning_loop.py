"""Fitting the detector further to what is said of scenes, while it stays what it was where nothing is said.

Each step takes scenes of all kinds: corrected, praised, punished, and rehearsed ones. Of the rehearsed, it is the
parent's maps that are to stay as they are (Li and Hoiem, "Learning without forgetting", ECCV 2016), also on scenes that
are mixed of two, far from all that was made: that holds the function fast, not only its answers to known objects (Beyer
et al., "Knowledge distillation: a good teacher is patient and consistent", CVPR 2022).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.random import Generator
from numpy.typing import NDArray

from models.nn.convolution import Parameters
from models.object_detection.training.augmentation import moved
from models.object_detection.training.fitting import Examples, Fitting, mirrored
from models.object_detection.training.losses import distance, scene_loss
from models.object_detection.training.negative_feedback import Punished, punishment
from models.object_detection.training.network import Detector
from models.object_detection.training.onnx_export import Calibration

Squares = NDArray[np.uint8]
BATCH = 16
"""Scenes that losses are measured on at once."""


@dataclass(frozen=True)
class FinePlan:
    """How to fit: the seed, steps, the scenes of each kind in a step, the learning rate, and how much rewards count.

    Rewards say less than corrections do: fewer of their scenes are in a step, and these count less.
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
    """No scene is fitted more often: of few there are fewer steps."""


@dataclass(frozen=True)
class Lessons:
    """Corrected scenes; praised ones, and how much each counts, (n,); punished ones; what makes scores of logits."""

    corrected: Examples
    praised: Examples
    weights: NDArray[np.float32]
    punished: Punished
    calibration: Calibration

    def steps(self, plan: FinePlan) -> int:
        """How many there are to be."""
        rewarded = max(len(self.weights), len(self.punished.weights)) / plan.rewarded
        most = max(len(self.corrected.squares) / plan.corrected, rewarded) * plan.most_repeats
        return min(plan.steps, max(1, int(most)))

    def punishment(self, logits: jax.Array, punished: Punished) -> jax.Array:
        """Of some of the punished scenes, and the network's logits of these."""
        return punishment(self.calibration.slope * logits + self.calibration.offset, punished)


def fine_fit(
    network: Detector,
    parent: Parameters,
    lessons: Lessons,
    rehearsed: Squares,
    plan: FinePlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Parameters:
    """Parameters fitted from the parent's on; the same for the same arguments. `on_step(step, steps, loss)`."""
    steps = lessons.steps(plan)
    schedule = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * steps) + 1, steps + 1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=plan.decay))

    def loss(fitting: Fitting, old: Any, corrected: Any, praised: Any, punished: Punished | None) -> jax.Array:
        ready = fitting.standardised()
        squares, *maps = old
        value = distance(*network.maps(ready, squares), *maps)
        for taught, part in ((corrected, 1.0), (praised, plan.reward_weight)):
            if taught is not None:
                squares, boxes, labels, weights = taught
                value += part * scene_loss(*network.maps(ready, squares), boxes, labels, plan.box_weight, weights)
        if punished is not None:
            logits, _ = network.maps(ready, jnp.asarray(punished.squares))
            value += plan.reward_weight * lessons.punishment(logits, punished)
        return value

    @jax.jit
    def step(fitting: Fitting, state: Any, squares: Any, *said: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(fitting, (squares, *network.maps(parent, squares)), *said)
        updates, state = optimiser.update(slopes, state, fitting)
        return optax.apply_updates(fitting, updates), state, value

    fitting = Fitting.of(parent)
    state = optimiser.init(fitting)
    alike = np.ones(len(lessons.corrected.squares), np.float32)
    batches = zip(
        _mixed(rehearsed, plan),
        _taught(lessons.corrected, alike, plan.corrected, np.random.default_rng([plan.seed, 1])),
        _taught(lessons.praised, lessons.weights, plan.rewarded, np.random.default_rng([plan.seed, 3])),
        _punished(lessons.punished, plan),
        strict=True,
    )
    for number in range(1, steps + 1):
        fitting, state, value = step(fitting, state, *next(batches))
        on_step(number, steps, float(value))
    return fitting.standardised()


def _rows(number: int, size: int, rng: Generator) -> Iterator[NDArray[np.int64]]:
    """For ever `size` rows of `number`; all come before one comes again."""
    waiting = np.zeros(0, np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(number)])
        yield waiting[:size]
        waiting = waiting[size:]


def _mixed(squares: Squares, plan: FinePlan) -> Iterator[Squares]:
    """Scenes, each under another one of another batch's order, turned in its colours, half transparent at most."""
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
        yield *moved(squares, boxes, examples.labels[rows], rng), weights[rows]


def _punished(punished: Punished, plan: FinePlan) -> Iterator[Punished | None]:
    rng = np.random.default_rng([plan.seed, 2])
    while not len(punished.weights):
        yield None
    for rows in _rows(len(punished.weights), plan.rewarded, rng):
        batch = punished.taken(rows)
        yield batch.mirrored() if rng.random() < 0.5 else batch


def mean_losses(network: Detector, ways: Sequence[Parameters], lessons: Lessons, plan: FinePlan) -> list[float]:
    """The loss with each of some parameters: of each kind of scenes the mean, 0 where there are none.

    In full batches, so that some scenes may count twice.
    """

    @jax.jit
    def taught_loss(parameters: Parameters, squares: jax.Array, *said: jax.Array) -> jax.Array:
        boxes, labels, weights = said
        return scene_loss(*network.maps(parameters, squares), boxes, labels, plan.box_weight, weights)

    @jax.jit
    def punishment(parameters: Parameters, scenes: Punished) -> jax.Array:
        logits, _ = network.maps(parameters, jnp.asarray(scenes.squares))
        return lessons.punishment(logits, scenes)

    def batches(examples: Examples, weights: NDArray[np.float32]) -> list[tuple[Any, ...]]:
        return [
            (examples.squares[rows], examples.boxes[rows], examples.labels[rows], weights[rows])
            for rows in _full_batches(len(weights))
        ]

    corrected = batches(lessons.corrected, np.ones(len(lessons.corrected.squares), np.float32))
    praised = batches(lessons.praised, lessons.weights)
    punished = [lessons.punished.taken(rows) for rows in _full_batches(len(lessons.punished.weights))]

    def loss(parameters: Parameters) -> float:
        right = _mean([float(taught_loss(parameters, *batch)) for batch in corrected])
        better = _mean([float(taught_loss(parameters, *batch)) for batch in praised])
        worse = _mean([float(punishment(parameters, batch)) for batch in punished])
        return right + plan.reward_weight * (better + worse)

    return [loss(parameters) for parameters in ways]


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def _full_batches(number: int) -> NDArray[np.int64]:
    return np.resize(np.arange(number), (-(-number // BATCH), BATCH))
