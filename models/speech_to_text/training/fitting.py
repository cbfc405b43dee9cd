"""Fit an update of low rank of the decoder to corrected utterances, beside distillation on rehearsed ones.

Distillation: Hinton et al., "Distilling the knowledge in a neural network", 2015; Li and Hoiem, "Learning without
forgetting", ECCV 2016. How far to go is chosen on validation data, see `models.nn.weight_interpolation`, with the
weights as they will be stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.adapters.low_rank import Factors, initial, updated, updates
from models.nn.weight_interpolation import Trial, least_loss
from models.speech_to_text.training.decoder import hidden
from models.speech_to_text.training.utterances import Batch, Utterance, batches, grouped, padded
from models.speech_to_text.training.weights import DecoderWeights, Layers
from models.speech_to_text.vocabulary import BEGIN, END

LEAST_PROBABILITY = 1e-3
"""A token that is so probable anywhere in the utterances is one of those that are taken for another there."""


@dataclass(frozen=True)
class Plan:
    """How to fit."""

    modules: tuple[str, ...] = (
        *(f"{kind}_attn/{part}_proj" for kind in ("self", "encoder") for part in "qkvo"), "mlp/fc1", "mlp/fc2",
    )  # fmt: skip
    rank: int = 8
    epochs: int = 5
    """Passes over the feedback, with as many rehearsed utterances each."""
    rate: float = 2e-3
    warm_up: float = 0.1
    distillation: float = 1.0
    """The weight of a rehearsed token's divergence, beside the loss of a token of the feedback."""
    max_divergence: float = 0.05
    """In nats a token, from what the parent said of rehearsed utterances: a bound on what is forgotten."""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    seed: int = 0


PLAN = Plan()


@dataclass(frozen=True, eq=False)
class Decoder:
    """The decoder, of whose tokens only some are open: they alone are scored, as if no other could be written."""

    weights: DecoderWeights
    classes: NDArray[np.int64]
    """In rising order."""

    def states(self, layers: Any, batch: Batch) -> jax.Array:
        """Return what comes before the last layer, (batch, length, features)."""
        arrays = (self.embedding, self.weights.norm, batch.tokens, batch.states, batch.frames)
        return hidden(layers, *map(jnp.asarray, arrays))

    @cached_property
    def embedding(self) -> NDArray[np.float32]:
        """Return what the first layer takes of each open token, (open tokens, features)."""
        return self.weights.embedding[self.classes]

    @cached_property
    def output(self) -> NDArray[np.float32]:
        """Return the last layer, (features, open tokens)."""
        return np.ascontiguousarray(self.weights.output[:, self.classes])

    def losses(self, layers: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Return the sum of the feedback's cross-entropies and that of the divergences of rehearsed tokens."""
        scores = jax.nn.log_softmax(self.states(layers, batch) @ self.output)
        entropy = -jnp.take_along_axis(scores, batch.targets[..., None], axis=-1)[..., 0]
        before = jax.nn.log_softmax(batch.parents @ self.output)
        divergence = jnp.sum(jnp.exp(before) * (before - scores), axis=-1)
        rehearsed = batch.counted * batch.rehearsed[:, None]
        return jnp.sum(entropy * (batch.counted - rehearsed)), jnp.sum(divergence * rehearsed)

    def with_parents(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the utterances with the states that the decoder as it is computes for them."""
        made, compute = list(utterances), jax.jit(self.states)
        for places, batch in batches(utterances, self.classes):
            found = np.asarray(compute(self.weights.layers, batch))
            for row, place in enumerate(places):
                made[place] = made[place]._replace(parent=found[row, : len(made[place].tokens) + 1])
        return made


def open_decoder(weights: DecoderWeights, utterances: Sequence[Utterance]) -> Decoder:
    """Return the decoder with those tokens open that are in the utterances, or are probable anywhere in them."""
    known = {BEGIN, END, *(token for utterance in utterances for token in utterance.tokens)}
    decoder = Decoder(weights, np.array(sorted(known)))
    for utterance in decoder.with_parents(utterances):
        assert utterance.parent is not None
        scores = utterance.parent @ weights.output
        likelihoods = np.exp(scores - scores.max(axis=-1, keepdims=True))
        probable = likelihoods >= LEAST_PROBABILITY * likelihoods.sum(axis=-1, keepdims=True)
        known.update(np.flatnonzero(probable.any(axis=0)).tolist())
    return Decoder(weights, np.array(sorted(known)))


@dataclass(frozen=True)
class Examples:
    """Utterances to fit, or to choose by."""

    feedback: Sequence[Utterance]
    rehearsed: Sequence[Utterance]


def fit(decoder: Decoder, examples: Examples, plan: Plan, on_step: Callable[[int, int], None]) -> Factors:
    """Return the factors of an update, fitted from nothing on; the same for the same arguments."""
    rng = np.random.default_rng(plan.seed)
    factors = initial(decoder.weights.layers, plan.modules, plan.rank, plan.seed)
    count = min(len(examples.feedback), len(examples.rehearsed))
    drawn = [rng.choice(len(examples.rehearsed), count, replace=False).tolist() for _ in range(plan.epochs)]
    passes = [[*examples.feedback, *(examples.rehearsed[place] for place in places)] for places in drawn]
    steps = [[members[place] for place in places] for members in passes for places in grouped(members, rng)]
    rate = optax.warmup_cosine_decay_schedule(0.0, plan.rate, int(plan.warm_up * len(steps)) + 1, len(steps) + 1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.0))
    step, state = jax.jit(partial(_step, decoder, optimiser, plan.distillation)), optimiser.init(factors)
    for number, members in enumerate(steps):
        factors, state = step(decoder.weights.layers, factors, state, padded(members, decoder.classes))
        on_step(number + 1, len(steps))
    return factors


def _step(
    decoder: Decoder, optimiser: Any, weight: float, layers: Layers, factors: Factors, state: Any, batch: Batch
) -> tuple[Factors, Any]:
    def loss(factors: Factors) -> jax.Array:
        entropy, divergence = decoder.losses(updated(layers, factors), batch)
        return (entropy + weight * divergence) / jnp.sum(batch.counted)

    slopes = jax.grad(loss)(factors)
    changes, state = optimiser.update(slopes, state, factors)
    return optax.apply_updates(factors, changes), state


def stored(weights: DecoderWeights, factors: Factors, share: float) -> dict[str, NDArray[Any]]:
    """Return the integers of all matrices that a share of an update changes, by their names in the file."""
    return {
        matrix.name: matrix.plus(np.asarray(update[layer]))
        for module, update in updates(factors, share).items()
        for layer, matrix in enumerate(weights.matrices[module])
    }


@dataclass(frozen=True)
class Tuned:
    """The chosen share of an update, the matrices with it, and all trials."""

    share: float
    matrices: dict[str, NDArray[Any]]
    trials: list[Trial]

    def card(self) -> dict[str, Any]:
        """Return the chosen share and all trials, for a card."""
        tried = [{name: round(value, 5) for name, value in trial._asdict().items()} for trial in self.trials]
        return {"way gone from the parent": self.share, "tried": tried}


def tuned(decoder: Decoder, factors: Factors, examples: Examples, plan: Plan) -> Tuned:
    """Return the share of an update with the least loss on feedback, of those that forget little enough."""
    measure = jax.jit(decoder.losses)

    def mean(layers: Any, utterances: Sequence[Utterance], kind: int) -> float:
        values = [measure(layers, batch)[kind] for _, batch in batches(utterances, decoder.classes)]
        return sum(map(float, values)) / max(1, sum(len(one.tokens) + 1 for one in utterances))

    def trial(share: float) -> Trial:
        layers = decoder.weights.replaced(stored(decoder.weights, factors, share)).layers
        return Trial(share, mean(layers, examples.feedback, 0), mean(layers, examples.rehearsed, 1))

    trials = [trial(share) for share in plan.shares]
    best = least_loss(trials, plan.max_divergence)
    return Tuned(best.share, stored(decoder.weights, factors, best.share), trials)
