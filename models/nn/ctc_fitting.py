"""Fitting a CTC network: its losses, AdamW, a warm-up and a cosine down to zero."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.nn.convolution import FittedParameters, Parameters
from models.nn.ctc_batches import Batch, CtcFittingPlan, Example, batches, grouped, padded_batch
from models.nn.ctc_network import CtcNetwork

_MIN_DOUBT = 0.01
"""Bounds the loss of a negative example of which the network is nearly certain."""

_COMPILED = 8
"""Networks whose compiled functions are kept."""

Draw = Callable[[int, Parameters], Sequence[Example]]
"""Return the examples of a pass, given its number and the parameters at its start."""


class Penalty(Hashable, Protocol):
    """What is added to the loss of the examples in each step, such as for what shall not be forgotten."""

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Return the arrays of a step, always of the same shapes."""

    def loss(self, parameters: Parameters, *drawn: jax.Array) -> jax.Array:
        """Return what is added, from the arrays that were drawn."""


def fit(
    network: CtcNetwork,
    parameters: Parameters,
    examples: Sequence[Example],
    plan: CtcFittingPlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> FittedParameters:
    """Return parameters fitted from `parameters` on; the same for the same arguments. `on_step(step, steps, loss)`."""
    return fit_passes(network, parameters, lambda number, current: examples, plan.epochs, plan, on_step)


def fit_passes(
    network: CtcNetwork,
    parameters: Parameters,
    draw: Draw,
    passes: int,
    plan: CtcFittingPlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    penalty: Penalty | None = None,
) -> FittedParameters:
    """Return the same, fitted to the examples that are drawn for each pass; the passes are of about the same length."""
    rng, losses = np.random.default_rng(plan.seed), list[float]()
    optimiser, step = _compiled(network, plan.scale, plan.decay, penalty)
    state, rate, steps = optimiser.init(parameters), optax.constant_schedule(0.0), 0
    for number in range(passes):
        examples = draw(number, parameters)
        groups = list(grouped(examples, plan, rng))
        if not steps:
            steps = passes * len(groups)
            rate = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * steps) + 1, steps + 1)
        steps = max(steps, len(losses) + len(groups) * (passes - number))
        for members, shape in groups:
            batch = padded_batch([examples[member] for member in members], shape)
            drawn = penalty.draw(rng) if penalty else ()
            parameters, state, value = step(parameters, state, rate(len(losses)), _arrays(batch), drawn)
            losses.append(float(value))
            on_step(len(losses), steps, losses[-1])
    return FittedParameters(parameters, losses)


def log_probabilities(
    network: CtcNetwork, parameters: Parameters, examples: Sequence[Example], plan: CtcFittingPlan
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the place of each example, and the log probabilities of its signal's frames, (frames, classes)."""
    for members, shape in grouped(examples, plan, np.random.default_rng(0)):
        batch = padded_batch([examples[member] for member in members], shape)
        found = np.asarray(_measured_log_probabilities(network, plan.scale)(parameters, batch.signals, batch.widths))
        for member, log_probs, width in zip(members.tolist(), found, batch.widths, strict=False):  # and rows to spare
            yield member, log_probs[: -(-int(width) // network.time_stride)]


def mean_loss(network: CtcNetwork, parameters: Parameters, examples: Sequence[Example], plan: CtcFittingPlan) -> float:
    """Return the loss that `fit` minimises, of all examples together."""
    total, symbols = 0.0, 0.0
    for batch in batches(examples, plan, np.random.default_rng(0)):
        value, count = _measured(network, plan.scale)(parameters, *_arrays(batch))
        total, symbols = total + float(value), symbols + float(count)
    return total / symbols


def _arrays(batch: Batch) -> tuple[NDArray[Any], ...]:
    return batch.signals, batch.widths, batch.labels, batch.weights


def _loss(
    network: CtcNetwork,
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
    costs: jax.Array = optax.ctc_loss(logits, beyond, labels, (labels == 0).astype(jnp.float32))
    unlikelihood = -jnp.log1p(_MIN_DOUBT - jnp.exp(-costs))
    losses = jnp.where(weights < 0, -weights * unlikelihood, weights * costs)
    there = (widths > 0).astype(jnp.float32)
    return jnp.sum(losses * there), jnp.sum((labels > 0).sum(axis=1) * there + 1.0)


@lru_cache(maxsize=_COMPILED)
def _compiled(network: CtcNetwork, scale: float, decay: float, penalty: Penalty | None) -> tuple[Any, Any]:
    """Return the optimiser, without its rate, and its step: compiled once for all fittings of a network."""
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.add_decayed_weights(decay))

    def loss(parameters: Parameters, batch: Any, drawn: Any) -> jax.Array:
        total, symbols = _loss(network, scale, parameters, *batch)
        return total / symbols + (penalty.loss(parameters, *drawn) if penalty else 0.0)

    @jax.jit
    def step(parameters: Parameters, state: Any, rate: Any, batch: Any, drawn: Any) -> tuple[Any, Any, jax.Array]:
        value, slopes = jax.value_and_grad(loss)(parameters, batch, drawn)
        updates, state = optimiser.update(slopes, state, parameters)
        updates = jax.tree.map(lambda update: -rate * update, updates)
        return optax.apply_updates(parameters, updates), state, value

    return optimiser, step


@lru_cache(maxsize=_COMPILED)
def _measured(network: CtcNetwork, scale: float) -> Any:
    return jax.jit(lambda parameters, *batch: _loss(network, scale, parameters, *batch))


@lru_cache(maxsize=_COMPILED)
def _measured_log_probabilities(network: CtcNetwork, scale: float) -> Any:
    def log_probabilities(parameters: Parameters, signals: jax.Array, widths: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(network.logits(parameters, signals.astype(jnp.float32) * scale, widths))

    return jax.jit(log_probabilities)
