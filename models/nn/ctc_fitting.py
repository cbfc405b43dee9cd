"""Fitting a CTC network: batches of equal width, AdamW, a warm-up and a cosine down to zero."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.nn.conv_ctc import ConvCtc, Parameters

Example = tuple[NDArray[Any], list[int]]
"""A signal (height, width) and the numbers of its symbols, 1 and up."""


@dataclass(frozen=True)
class Batch:
    """Examples zero-padded to one width and one number of labels (label 0 is padding)."""

    signals: NDArray[Any]
    widths: NDArray[np.int32]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Plan:
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


@dataclass
class Fitted:
    """The parameters found, and the loss of each step on the way."""

    parameters: Parameters
    losses: list[float] = field(default_factory=list)


def batches(examples: Sequence[Example], plan: Plan, rng: np.random.Generator) -> Iterator[Batch]:
    """All examples once, in an order by chance, lines of about the same width together."""
    widths = np.array([signal.shape[1] for signal, _ in examples])
    bucket = np.searchsorted(plan.buckets, widths)
    longest = -(-max(len(labels) for _, labels in examples) // 16) * 16
    groups = []
    for number, width in enumerate(plan.buckets):
        members = rng.permutation(np.flatnonzero(bucket == number))
        size = max(1, plan.columns // width)
        groups += [(width, members[start : start + size], size) for start in range(0, len(members), size)]
    for chosen in rng.permutation(len(groups)).tolist():
        width, members, size = groups[chosen]
        yield padded_batch([examples[member] for member in members], (size, width, longest))


def padded_batch(examples: Sequence[Example], shape: tuple[int, int, int]) -> Batch:
    """The examples in arrays of a fixed `shape` (rows, width, labels), so that each width is compiled only once.

    Rows to spare are signals of no width.
    """
    size, width, longest = shape
    height = examples[0][0].shape[0]
    batch = Batch(
        np.zeros((size, height, width), examples[0][0].dtype),
        np.zeros(size, np.int32),
        np.zeros((size, longest), np.int32),
    )
    for row, (signal, labels) in enumerate(examples):
        batch.signals[row, :, : signal.shape[1]] = signal
        batch.widths[row] = signal.shape[1]
        batch.labels[row, : len(labels)] = labels
    return batch


def fit(
    network: ConvCtc,
    parameters: Parameters,
    examples: Sequence[Example],
    plan: Plan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Fitted:
    """Parameters fitted from `parameters` on; the same for the same arguments. `on_step(step, steps, loss)`."""
    rng = np.random.default_rng(plan.seed)
    steps = plan.epochs * sum(1 for _ in batches(examples, plan, np.random.default_rng(plan.seed)))
    schedule = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * steps) + 1, steps + 1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=plan.decay))

    def loss(parameters: Parameters, signals: jax.Array, widths: jax.Array, labels: jax.Array) -> jax.Array:
        logits = network.logits(parameters, signals.astype(jnp.float32) * plan.scale, widths)
        beyond = (jnp.arange(logits.shape[1]) >= network.frames(widths)[:, None]).astype(jnp.float32)
        losses = optax.ctc_loss(logits, beyond, labels, (labels == 0).astype(jnp.float32))
        there = (widths > 0).astype(jnp.float32)
        return jnp.sum(losses * there) / jnp.sum((labels > 0).sum(axis=1) * there + 1.0)

    @jax.jit
    def step(parameters: Parameters, state: Any, signals: Any, widths: Any, labels: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(parameters, signals, widths, labels)
        updates, state = optimiser.update(slopes, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    state, losses = optimiser.init(parameters), []
    for _ in range(plan.epochs):
        for batch in batches(examples, plan, rng):
            parameters, state, value = step(parameters, state, batch.signals, batch.widths, batch.labels)
            losses.append(float(value))
            on_step(len(losses), steps, losses[-1])
    return Fitted(parameters, losses)
