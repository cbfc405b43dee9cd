"""Fitting the detector further to what is said of scenes, while it stays what it was where nothing is said.

Each step takes scenes of three kinds: corrected ones, rewarded ones, and rehearsed ones. Of the rehearsed, it is the
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

from models.nn.conv_ctc import Parameters
from models.object_detection.export import Calibration
from models.object_detection.fitting import Examples, Fitting, mirrored
from models.object_detection.losses import distance, scene_loss
from models.object_detection.moving import moved
from models.object_detection.network import Detector
from models.object_detection.rewarded import Rewarded, policy_loss

Squares = NDArray[np.uint8]


@dataclass(frozen=True)
class FinePlan:
    """How to fit: the seed, steps, the scenes of each step that are rehearsed, and corrected and rewarded, the rate."""

    seed: int = 0
    steps: int = 260
    rehearsed: int = 8
    said: int = 16
    rate: float = 3e-3
    decay: float = 1e-2
    warm_up: float = 0.05
    box_weight: float = 1.0
    reward_weight: float = 1.0
    most_repeats: int = 25
    """No scene is said more often: of few there are fewer steps."""


@dataclass(frozen=True)
class Lessons:
    """What to learn from: corrected scenes, rewarded ones, and what makes scores of logits there."""

    corrected: Examples
    rewarded: Rewarded
    calibration: Calibration

    def __len__(self) -> int:
        return len(self.corrected.squares) + len(self.rewarded.weights)

    def policy_loss(self, logits: jax.Array, rewarded: Rewarded) -> jax.Array:
        """Of some of the rewarded scenes, and the network's logits of these."""
        return policy_loss(self.calibration.slope * logits + self.calibration.offset, rewarded)


def fine_fit(
    network: Detector,
    parent: Parameters,
    lessons: Lessons,
    rehearsed: Squares,
    plan: FinePlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Parameters:
    """Parameters fitted from the parent's on; the same for the same arguments. `on_step(step, steps, loss)`."""
    most = max(len(lessons.corrected.squares), len(lessons.rewarded.weights)) * plan.most_repeats // plan.said
    steps = min(plan.steps, max(1, most))
    schedule = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * steps) + 1, steps + 1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=plan.decay))

    def loss(fitting: Fitting, old: Any, corrected: Any, rewarded: Any) -> jax.Array:
        ready = fitting.standardised()
        squares, *maps = old
        value = distance(*network.maps(ready, squares), *maps)
        if corrected is not None:
            squares, boxes, labels = corrected
            value += scene_loss(*network.maps(ready, squares), boxes, labels, plan.box_weight)
        if rewarded is not None:
            value += plan.reward_weight * lessons.policy_loss(network.maps(ready, rewarded.squares)[0], rewarded)
        return value

    @jax.jit
    def step(fitting: Fitting, state: Any, squares: Any, *said: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(fitting, (squares, *network.maps(parent, squares)), *said)
        updates, state = optimiser.update(slopes, state, fitting)
        return optax.apply_updates(fitting, updates), state, value

    fitting = Fitting.of(parent)
    state = optimiser.init(fitting)
    batches = zip(
        _mixed(rehearsed, plan), _corrected(lessons.corrected, plan), _rewarded(lessons.rewarded, plan), strict=True
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


def _corrected(examples: Examples, plan: FinePlan) -> Iterator[tuple[Any, ...] | None]:
    rng = np.random.default_rng([plan.seed, 1])
    while not len(examples.squares):
        yield None
    for rows in _rows(len(examples.squares), plan.said, rng):
        squares, boxes = examples.squares[rows], examples.boxes[rows]
        if rng.random() < 0.5:
            squares, boxes = mirrored(squares, boxes)
        yield moved(squares, boxes, examples.labels[rows], rng)


def _rewarded(rewarded: Rewarded, plan: FinePlan) -> Iterator[Rewarded | None]:
    rng = np.random.default_rng([plan.seed, 2])
    while not len(rewarded.weights):
        yield None
    for rows in _rows(len(rewarded.weights), plan.said, rng):
        batch = rewarded.taken(rows)
        yield batch.mirrored() if rng.random() < 0.5 else batch


def mean_losses(network: Detector, ways: Sequence[Parameters], lessons: Lessons, plan: FinePlan) -> list[float]:
    """The mean over corrected and rewarded scenes with each of some parameters; 0 where there are none.

    In full batches, so that some scenes may count twice.
    """

    @jax.jit
    def corrected_loss(parameters: Parameters, squares: jax.Array, boxes: jax.Array, labels: jax.Array) -> jax.Array:
        return scene_loss(*network.maps(parameters, squares), boxes, labels, plan.box_weight)

    @jax.jit
    def rewarded_loss(parameters: Parameters, scenes: Rewarded) -> jax.Array:
        logits, _ = network.maps(parameters, jnp.asarray(scenes.squares))
        return plan.reward_weight * lessons.policy_loss(logits, scenes)

    corrected = lessons.corrected
    batches = [
        (corrected.squares[rows], corrected.boxes[rows], corrected.labels[rows])
        for rows in _full_batches(len(corrected.squares), plan)
    ]
    rewarded = [lessons.rewarded.taken(rows) for rows in _full_batches(len(lessons.rewarded.weights), plan)]

    def mean(parameters: Parameters) -> float:
        first = sum(float(corrected_loss(parameters, *batch)) for batch in batches)
        second = sum(float(rewarded_loss(parameters, batch)) for batch in rewarded)
        return (first + second) / max(1, len(batches) + len(rewarded))

    return [mean(parameters) for parameters in ways]


def _full_batches(number: int, plan: FinePlan) -> NDArray[np.int64]:
    return np.resize(np.arange(number), (-(-number // plan.said), plan.said))
