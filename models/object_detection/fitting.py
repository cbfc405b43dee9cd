"""Fitting the detector: what each cell should say of a scene, how wrong it is, AdamW with a warm-up and a cosine.

Weights are standardised while they are fitted (Qiao et al., 2019; Brock et al., ICLR 2021): a filter has no mean, and
its length is a parameter of its own. That does what batch statistics do for the speed of learning, and nothing of it
is left in the model.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.nn.conv_ctc import Parameters
from models.object_detection.images import SIDE
from models.object_detection.labels import LABELS
from models.object_detection.network import GRID, STRIDE, Detector

MOST = 16
"""Objects of a scene that count; the rest is left out."""
NOTHING = -1
"""The label of a row without an object."""


@dataclass(frozen=True)
class Examples:
    """Scenes as the network sees them: `squares` uint8 (n, 128, 128, 3), `boxes` float32 (n, 16, 4) in pixels of the
    square, `labels` int32 (n, 16), -1 where there is no object.
    """

    squares: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Plan:
    """How to fit: the seed of the batches' order, passes over the data, scenes of a batch, learning rate."""

    seed: int = 0
    epochs: int = 18
    batch: int = 16
    rate: float = 6e-3
    decay: float = 1e-2
    warm_up: float = 0.05
    box_weight: float = 1.0


@dataclass
class Fitted:
    """The parameters found, and the loss of each step on the way."""

    parameters: Parameters
    losses: list[float] = field(default_factory=list)


def targets(boxes: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What the cells should say of boxes (batch, n, 4) with labels (batch, n).

    The heat maps (batch, 16, 16, classes), 1 in the cell of an object's middle and falling around it like a Gaussian
    (CenterNet, equation 1); the box that a cell belongs to (batch, 16, 16, 4), the smallest of those whose middle is
    within one and a half cells (FCOS's centre sampling); and whether it belongs to one, float32 (batch, 16, 16).
    """
    there = labels >= 0
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    sizes = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 1.0)
    cells = jnp.clip(jnp.floor(middles / STRIDE), 0, GRID - 1)
    grid = jnp.arange(GRID, dtype=jnp.float32)
    spread = jnp.maximum(sizes / STRIDE * 0.2, 0.5)

    def along(axis: int) -> jax.Array:
        away = (grid - cells[..., axis, None]) / spread[..., axis, None]
        return jnp.exp(-away * away / 2)

    heat = along(1)[..., :, None] * along(0)[..., None, :]  # (batch, n, rows, columns)
    classes = jax.nn.one_hot(labels, len(LABELS))  # no class for -1
    heats = jnp.max(heat[..., None] * classes[:, :, None, None, :], axis=1)

    points = (grid + 0.5) * STRIDE
    near = jnp.abs(points - middles[..., 0, None])[..., None, :] < 1.5 * STRIDE
    near &= jnp.abs(points - middles[..., 1, None])[..., :, None] < 1.5 * STRIDE
    inside = (points > boxes[..., 0, None])[..., None, :] & (points < boxes[..., 2, None])[..., None, :]
    inside &= (points > boxes[..., 1, None])[..., :, None] & (points < boxes[..., 3, None])[..., :, None]
    own = near & inside & there[..., None, None]
    area = jnp.where(own, (sizes[..., 0] * sizes[..., 1])[..., None, None], jnp.inf)
    smallest = jnp.argmin(area, axis=1)
    rows = jnp.arange(boxes.shape[0])[:, None, None]
    return heats, boxes[rows, smallest], own.any(axis=1).astype(jnp.float32)


def boxes_of(distances: jax.Array) -> jax.Array:
    """Left, top, right, bottom in pixels, of distances (batch, 16, 16, 4)."""
    points = (jnp.arange(GRID, dtype=jnp.float32) + 0.5) * STRIDE
    x, y = points[None, None, :], points[None, :, None]
    left, top, right, bottom = jnp.moveaxis(distances, -1, 0)
    return jnp.stack([x - left, y - top, x + right, y + bottom], axis=-1)


def focal_loss(logits: jax.Array, heats: jax.Array) -> jax.Array:
    """The quality focal loss (Li et al., NeurIPS 2020, equation 3, beta 2): cross-entropy with the heat as soft label,
    weighted down where it is nearly right. A sum over all cells.
    """
    crossed = -(heats * jax.nn.log_sigmoid(logits) + (1 - heats) * jax.nn.log_sigmoid(-logits))
    return jnp.sum((heats - jax.nn.sigmoid(logits)) ** 2 * crossed)


def giou_loss(found: jax.Array, true: jax.Array) -> jax.Array:
    """1 - generalised intersection over union (Rezatofighi et al., CVPR 2019) of each pair of boxes (..., 4)."""

    def area(box: jax.Array) -> jax.Array:
        sides = jnp.maximum(box[..., 2:] - box[..., :2], 0.0)
        return sides[..., 0] * sides[..., 1]

    low, high = jnp.maximum(found[..., :2], true[..., :2]), jnp.minimum(found[..., 2:], true[..., 2:])
    common = area(jnp.concatenate([low, high], axis=-1))
    union = area(found) + area(true) - common
    low, high = jnp.minimum(found[..., :2], true[..., :2]), jnp.maximum(found[..., 2:], true[..., 2:])
    hull = jnp.maximum(area(jnp.concatenate([low, high], axis=-1)), 1e-6)
    return 1 - common / jnp.maximum(union, 1e-6) + (hull - union) / hull


class Fitting(NamedTuple):
    """Parameters as they are fitted: the length of each filter, (filters,), stands beside its weights."""

    parameters: Parameters
    lengths: list[jax.Array]

    @classmethod
    def of(cls, parameters: Parameters) -> Self:
        """Of parameters as the network takes them. The two heads have no lengths of their own."""
        return cls(parameters, [_lengths(weights) for weights, _ in parameters[:-_HEADS]])

    def standardised(self) -> Parameters:
        """As the network takes them."""
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
    plan: Plan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Fitted:
    """Parameters fitted from `parameters` on; the same for the same arguments. `on_step(step, steps, loss)`."""
    rng = np.random.default_rng(plan.seed)
    size = min(plan.batch, len(examples.squares))
    steps = plan.epochs * (len(examples.squares) // size)
    schedule = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * steps) + 1, steps + 1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=plan.decay))

    def loss(fitting: Fitting, squares: jax.Array, boxes: jax.Array, labels: jax.Array) -> jax.Array:
        logits, distances = network.maps(fitting.standardised(), squares)
        heats, true, own = targets(boxes, labels)
        objects = jnp.maximum(jnp.sum(labels >= 0), 1)
        misses = jnp.sum(giou_loss(boxes_of(distances), true) * own) / jnp.maximum(jnp.sum(own), 1)
        return focal_loss(logits, heats) / objects + plan.box_weight * misses

    @jax.jit
    def step(fitting: Fitting, state: Any, squares: Any, boxes: Any, labels: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(fitting, squares, boxes, labels)
        updates, state = optimiser.update(slopes, state, fitting)
        return optax.apply_updates(fitting, updates), state, value

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
    return Fitted(fitting.standardised(), losses)


def mirrored(squares: NDArray[np.uint8], boxes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The scenes with left and right exchanged."""
    return squares[:, :, ::-1], np.stack(
        [SIDE - boxes[..., 2], boxes[..., 1], SIDE - boxes[..., 0], boxes[..., 3]], axis=-1
    )
