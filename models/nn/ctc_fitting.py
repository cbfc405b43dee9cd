"""Fitting a CTC network: its losses, AdamW, a warm-up and a cosine down to zero."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import FittedParameters, Parameters
from models.nn.ctc_batches import Batch, CtcFittingPlan, Example, batches, grouped, padded_batch

_MIN_DOUBT = 0.01
"""Bounds the loss of a negative example of which the network is nearly certain."""
PREFERENCE_SCALE = 0.1
"""The beta of Rafailov et al. 2023: the smaller it is, the farther a preference leads away from the reference."""


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


def with_leads(
    network: ConvCtc, reference: Parameters, examples: Sequence[Example], plan: CtcFittingPlan
) -> list[Example]:
    """Return the examples, preferences with the leads that their better labels have under the reference."""
    found = list(examples)
    preferences = [place for place, example in enumerate(examples) if example.worse is not None]
    for members, shape in grouped([examples[place] for place in preferences], plan, np.random.default_rng(0)):
        places = [preferences[member] for member in members]
        batch = padded_batch([examples[place] for place in places], shape)
        leads = _measured_leads(network, plan.scale)(reference, batch.signals, batch.widths, batch.labels, batch.worse)
        for place, lead in zip(places, np.asarray(leads).tolist(), strict=False):  # rows to spare have leads, too
            found[place] = examples[place]._replace(lead=lead)
    return found


def _arrays(batch: Batch) -> tuple[NDArray[Any], ...]:
    return batch.signals, batch.widths, batch.labels, batch.weights, batch.worse, batch.leads


class _Outputs(NamedTuple):
    """Logits of a batch, and 1 for each frame beyond a line's own width."""

    logits: jax.Array
    beyond: jax.Array

    def costs(self, labels: jax.Array) -> jax.Array:
        """Return -log p of each line's labels."""
        costs: jax.Array = optax.ctc_loss(self.logits, self.beyond, labels, (labels == 0).astype(jnp.float32))
        return costs


def _outputs(network: ConvCtc, scale: float, parameters: Parameters, signals: jax.Array, widths: jax.Array) -> _Outputs:
    logits = network.logits(parameters, signals.astype(jnp.float32) * scale, widths)
    return _Outputs(logits, (jnp.arange(logits.shape[1]) >= network.frames(widths)[:, None]).astype(jnp.float32))


def _loss(
    network: ConvCtc,
    scale: float,
    parameters: Parameters,
    signals: jax.Array,
    widths: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    worse: jax.Array,
    leads: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the sum over a batch, and the symbols in it.

    The loss of an example with a positive weight is -log p, of one with a negative weight -log(1 - p), both times the
    weight's size. The slope of -log(1 - p) goes to 0 with p: improbable outputs are left alone (the unlikelihood of
    Welleck et al., ICLR 2020).

    The loss of a preference is that of direct preference optimization over beta, so that its slope is that of other
    examples (Rafailov et al., "Direct preference optimization", NeurIPS 2023, equation 7):
    -log sigmoid(beta * (log p(better) - log p(worse) - lead)) / beta.
    """
    outputs = _outputs(network, scale, parameters, signals, widths)
    costs = outputs.costs(labels)
    there = (widths > 0).astype(jnp.float32)
    if worse.shape[1]:
        gain = outputs.costs(worse) - costs - leads
        losses = -weights * jax.nn.log_sigmoid(PREFERENCE_SCALE * gain) / PREFERENCE_SCALE
    else:
        unlikelihood = -jnp.log1p(_MIN_DOUBT - jnp.exp(-costs))
        losses = jnp.where(weights < 0, -weights * unlikelihood, weights * costs)
    return jnp.sum(losses * there), jnp.sum((labels > 0).sum(axis=1) * there + 1.0)


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


@cache
def _measured_leads(network: ConvCtc, scale: float) -> Any:
    def leads(
        parameters: Parameters, signals: jax.Array, widths: jax.Array, labels: jax.Array, worse: jax.Array
    ) -> jax.Array:
        outputs = _outputs(network, scale, parameters, signals, widths)
        return outputs.costs(worse) - outputs.costs(labels)

    return jax.jit(leads)
