"""Fitting the detector to scenes: AdamW with a warm-up and a cosine.

Weights are standardised while they are fitted (Qiao et al., 2019; Brock et al., ICLR 2021): a filter has no mean, and
its length is a parameter of its own. That does what batch statistics do for the speed of learning, and nothing of it
is left in the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.nn.convolution import FittedParameters, Parameters
from models.small.object_detection.data.examples import Examples
from models.small.object_detection.images import SIDE
from models.small.object_detection.training.losses import scene_loss
from models.small.object_detection.training.network import Detector


@dataclass(frozen=True)
class DetectorFittingPlan:
    """How to fit: the seed of the batches' order, passes over the data, scenes of a batch, learning rate."""

    seed: int = 0
    epochs: int = 18
    batch: int = 16
    rate: float = 6e-3
    decay: float = 1e-2
    warm_up: float = 0.05
    box_weight: float = 1.0


class Fitting(NamedTuple):
    """Parameters as they are fitted: the length of each filter, (filters,), stands beside its weights."""

    parameters: Parameters
    lengths: list[jax.Array]

    @classmethod
    def of(cls, parameters: Parameters) -> Self:
        """Start from parameters as the network takes them. The two heads have no lengths of their own."""
        return cls(parameters, [_lengths(weights) for weights, _ in parameters[:-_HEADS]])

    def standardised(self) -> Parameters:
        """Return the parameters as the network takes them."""
        fitted = zip(self.parameters, self.lengths, strict=False)
        return [
            ((weights - weights.mean((0, 1, 2))) * (length / (_lengths(weights) + 1e-6)), bias)
            for (weights, bias), length in fitted
        ] + self.parameters[-_HEADS:]


_HEADS = 2


def _lengths(weights: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum((weights - weights.mean((0, 1, 2))) ** 2, (0, 1, 2)))


def fit(
    network: Detector,
    parameters: Parameters,
    examples: Examples,
    plan: DetectorFittingPlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> FittedParameters:
    """Return parameters fitted from `parameters` on; the same for the same arguments. `on_step(step, steps, loss)`."""
    rng = np.random.default_rng(plan.seed)
    size = min(plan.batch, len(examples.squares))
    steps = plan.epochs * (len(examples.squares) // size)
    optimiser, step = _compiled(network, plan, steps)
    fitting, losses = Fitting.of(parameters), []
    state = optimiser.init(fitting)
    for _ in range(plan.epochs):
        order = rng.permutation(len(examples.squares))[: steps // plan.epochs * size]
        for chosen in order.reshape(-1, size):
            squares, boxes = examples.squares[chosen], examples.boxes[chosen]
            if rng.random() < 0.5:
                squares, boxes = mirrored(squares, boxes)
            fitting, state, value = step(fitting, state, squares, boxes, examples.labels[chosen])
            losses.append(float(value))
            on_step(len(losses), steps, losses[-1])
    return FittedParameters(fitting.standardised(), losses)


def optimiser_of(rate: float, warm_up: float, decay: float, steps: int) -> optax.GradientTransformation:
    """Return AdamW whose learning rate rises to `rate` in the share `warm_up` of `steps`, and falls in a cosine."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, int(warm_up * steps) + 1, steps + 1)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=decay))


@cache
def _compiled(network: Detector, plan: DetectorFittingPlan, steps: int) -> tuple[Any, Any]:
    """Return the optimiser and its step: compiled once for all fittings by a plan."""
    optimiser = optimiser_of(plan.rate, plan.warm_up, plan.decay, steps)

    def loss(fitting: Fitting, squares: jax.Array, boxes: jax.Array, labels: jax.Array) -> jax.Array:
        maps = network.maps(fitting.standardised(), squares)
        return scene_loss(*maps, boxes, labels, plan.box_weight)

    @jax.jit
    def step(fitting: Fitting, state: Any, *batch: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(fitting, *batch)
        updates, state = optimiser.update(slopes, state, fitting)
        return optax.apply_updates(fitting, updates), state, value

    return optimiser, step


def mirrored(squares: NDArray[np.uint8], boxes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the scenes with left and right exchanged."""
    return squares[:, :, ::-1], np.stack(
        [SIDE - boxes[..., 2], boxes[..., 1], SIDE - boxes[..., 0], boxes[..., 3]], axis=-1
    )
