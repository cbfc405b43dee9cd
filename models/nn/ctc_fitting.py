"""Fitting a CTC network: batches of equal width, AdamW, a warm-up and a cosine down to zero."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import FittedParameters, Parameters

_MIN_DOUBT = 0.01
"""Bounds the loss of a negative example of which the network is nearly certain."""


class Example(NamedTuple):
    """A signal (height, width) and the numbers of its symbols, 1 and up.

    `weight` above 0 says how much these are to become more probable, below 0 how much less.
    """

    signal: NDArray[Any]
    labels: list[int]
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Examples zero-padded to one width and one number of labels (label 0 is padding)."""

    signals: NDArray[Any]
    widths: NDArray[np.int32]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class CtcFittingPlan:
    """How to fit: the seed of the batches' order, passes over the data, learning rate, columns of a batch.

    A batch holds about `columns` columns: lines times width. `buckets` are the widths that lines are padded to;
    wider lines than the last are left out.
    """

    seed: int = 0
    epochs: int = 2
    rate: float = 2e-3
    decay: float = 1e-2
    warm_up: float = 0.08
    columns: int = 4096
    buckets: tuple[int, ...] = (128, 208, 304, 416, 608)
    scale: float = 1 / 255


def batches(examples: Sequence[Example], plan: CtcFittingPlan, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield all examples once, in an order by chance, lines of about the same width together."""
    widths = np.array([example.signal.shape[1] for example in examples])
    bucket = np.searchsorted(plan.buckets, widths)
    longest = -(-max(len(example.labels) for example in examples) // 16) * 16
    groups = []
    for number, width in enumerate(plan.buckets):
        members = rng.permutation(np.flatnonzero(bucket == number))
        size = max(1, plan.columns // width)
        groups += [(width, members[start : start + size], size) for start in range(0, len(members), size)]
    for chosen in rng.permutation(len(groups)).tolist():
        width, members, size = groups[chosen]
        yield padded_batch([examples[member] for member in members], (size, width, longest))


def padded_batch(examples: Sequence[Example], shape: tuple[int, int, int]) -> Batch:
    """Return the examples in arrays of a fixed `shape` (rows, width, labels), so that each width is compiled only once.

    Rows to spare are signals of no width.
    """
    size, width, longest = shape
    height = examples[0].signal.shape[0]
    batch = Batch(
        np.zeros((size, height, width), examples[0].signal.dtype),
        np.zeros(size, np.int32),
        np.zeros((size, longest), np.int32),
        np.zeros(size, np.float32),
    )
    for row, (signal, labels, weight) in enumerate(examples):
        batch.signals[row, :, : signal.shape[1]] = signal
        batch.widths[row] = signal.shape[1]
        batch.labels[row, : len(labels)] = labels
        batch.weights[row] = weight
    return batch


def fit(
    network: ConvCtc,
    parameters: Parameters,
    examples: Sequence[Example],
    plan: CtcFittingPlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> FittedParameters:
    """Return parameters fitted from `parameters` on; the same for the same arguments. `on_step(step, steps, loss)`."""
    rng = np.random.default_rng(plan.seed)
    steps = plan.epochs * sum(1 for _ in batches(examples, plan, np.random.default_rng(plan.seed)))
    rate = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * steps) + 1, steps + 1)
    optimiser, step = _compiled(network, plan.scale, plan.decay)
    state, losses = optimiser.init(parameters), list[float]()
    for _ in range(plan.epochs):
        for batch in batches(examples, plan, rng):
            parameters, state, value = step(parameters, state, rate(len(losses)), *_arrays(batch))
            losses.append(float(value))
            on_step(len(losses), steps, losses[-1])
    return FittedParameters(parameters, losses)


def mean_loss(network: ConvCtc, parameters: Parameters, examples: Sequence[Example], plan: CtcFittingPlan) -> float:
    """Return the loss that `fit` minimises, of all examples together."""
    total, symbols = 0.0, 0.0
    for batch in batches(examples, plan, np.random.default_rng(0)):
        value, count = _measured(network, plan.scale)(parameters, *_arrays(batch))
        total, symbols = total + float(value), symbols + float(count)
    return total / symbols


def _arrays(batch: Batch) -> tuple[NDArray[Any], ...]:
    return batch.signals, batch.widths, batch.labels, batch.weights


def _loss(
    network: ConvCtc,
    scale: float,
    parameters: Parameters,
    signals: jax.Array,
    widths: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the sum over a batch, and the symbols in it.

    The loss of an example with a positive weight is -log p, of one with a negative weight -log(1 - p), both times the
    weight's size. The slope of -log(1 - p) goes to 0 with p: improbable outputs are left alone (the unlikelihood of
    Welleck et al., ICLR 2020).
    """
    logits = network.logits(parameters, signals.astype(jnp.float32) * scale, widths)
    beyond = (jnp.arange(logits.shape[1]) >= network.frames(widths)[:, None]).astype(jnp.float32)
    costs = optax.ctc_loss(logits, beyond, labels, (labels == 0).astype(jnp.float32))
    unlikelihood = -jnp.log1p(_MIN_DOUBT - jnp.exp(-costs))
    there = (widths > 0).astype(jnp.float32)
    total = jnp.sum(jnp.where(weights < 0, -weights * unlikelihood, weights * costs) * there)
    return total, jnp.sum((labels > 0).sum(axis=1) * there + 1.0)


@cache
def _compiled(network: ConvCtc, scale: float, decay: float) -> tuple[Any, Any]:
    """Return the optimiser, without its rate, and its step: compiled once for all fittings of a network."""
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.add_decayed_weights(decay))

    def loss(parameters: Parameters, *batch: jax.Array) -> jax.Array:
        total, symbols = _loss(network, scale, parameters, *batch)
        return total / symbols

    @jax.jit
    def step(parameters: Parameters, state: Any, rate: Any, *batch: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(parameters, *batch)
        updates, state = optimiser.update(slopes, state, parameters)
        updates = jax.tree.map(lambda update: -rate * update, updates)
        return optax.apply_updates(parameters, updates), state, value

    return optimiser, step


@cache
def _measured(network: ConvCtc, scale: float) -> Any:
    return jax.jit(lambda parameters, *batch: _loss(network, scale, parameters, *batch))
