"""Off-policy policy gradient: doubly robust, with clipped importance weights.

A decision has context x, chosen action a, its propensity p, and a reward r, here scaled to [0, 1].

1. The reward model q(x, a) is fitted by cross-entropy on logged rewards.
2. The policy pi maximises the mean of sum_b pi(b|x) q(x, b) + min(pi(a|x) / p, clip) (r - q(x, a)): the doubly robust
   value (Dudik, Langford & Li, ICML 2011), with importance weights clipped as in POEM (Swaminathan & Joachims, JMLR
   2015), which bounds its variance; plus the entropy of pi, so that it goes on exploring where actions are alike.
3. Where a person said which action would have been right, the policy maximises its log-probability, and the reward
   model takes it for the highest reward and the others for the lowest.

Weights are drawn to those that training began with (an earlier version's, or a uniform policy's).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.decision.training.log_reader import Decisions, Log
from models.decision.training.network import Parameters, scores

OnStep = Callable[[int, int], None]
Batch = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How a policy and its reward model are fitted."""

    epochs: int = 15
    least_steps: int = 400
    most_steps: int = 4_000
    batch: int = 256
    rate: float = 0.01
    pull: float = 1.0
    """Strength of the pull to the first weights: as much as so many decisions would say."""
    entropy: float = 0.02
    """In rewards (scaled to [0, 1]) per nat."""
    clip: float = 10.0
    """The largest importance weight."""
    supervised: float = 1.0
    """The weight of a correction's log-probability."""
    iterations: int = 6
    """How often the returns of episodes are estimated, each time for the policy that was learnt by then."""


def fit_rewards(start: Parameters, log: Log, plan: Plan, seed: int, on_step: OnStep) -> Parameters:
    """The reward model."""
    return _fit(_reward_loss, start, [_batch(one) for one in log], plan, seed, on_step)


def fit_policy(start: Parameters, rewards: Parameters, log: Log, plan: Plan, seed: int, on_step: OnStep) -> Parameters:
    """The policy, with the help of a reward model."""
    batches = []
    for one in log:
        batch = _batch(one)
        predicted = jax.nn.sigmoid(scores(rewards, one.context, one.actions))
        batches.append({**batch, "predicted": np.asarray(predicted)})
    return _fit(_policy_loss, start, batches, plan, seed, on_step)


def log_probabilities(parameters: Parameters, batch: Batch) -> jax.Array:
    """Of each action under the policy, (N, n); very low for padding."""
    logits = scores(parameters, batch["context"], batch["actions"])
    return jax.nn.log_softmax(jnp.where(batch["offered"], logits, -1e9))


def _batch(one: Decisions) -> Batch:
    """With `weight` 1 for each decision; 0 is what fills up the last batch."""
    places = np.arange(one.actions.shape[1])
    return {
        "context": one.context,
        "actions": one.actions,
        "offered": places < one.count[:, None],
        "chosen": one.chosen,
        "propensity": one.propensity,
        "reward": np.nan_to_num(one.reward),
        "rewarded": np.isfinite(one.reward).astype(np.float32),
        "label": np.maximum(one.label, 0),
        "labelled": (one.label >= 0).astype(np.float32),
        "weight": np.ones(len(one), np.float32),
    }


def _of(values: Any, places: Any) -> Any:
    return jnp.take_along_axis(values, places[:, None], axis=1)[:, 0]


def _reward_loss(parameters: Parameters, batch: Batch, plan: Plan) -> jax.Array:
    logits = scores(parameters, batch["context"], batch["actions"])
    rewarded = optax.sigmoid_binary_cross_entropy(_of(logits, batch["chosen"]), batch["reward"])
    right = jax.nn.one_hot(batch["label"], logits.shape[1])
    each = optax.sigmoid_binary_cross_entropy(logits, right) * batch["offered"]
    labelled = each.sum(1) / batch["offered"].sum(1)
    # What was said to be right counts for more than a reward of the same decision.
    loss = jnp.where(batch["labelled"] > 0, labelled, rewarded * batch["rewarded"])
    return jnp.mean(loss * batch["weight"])


def _policy_loss(parameters: Parameters, batch: Batch, plan: Plan) -> jax.Array:
    log_policy = log_probabilities(parameters, batch)
    policy = jnp.exp(log_policy)
    expected = (policy * batch["predicted"] * batch["offered"]).sum(1)
    weight = jnp.minimum(_of(policy, batch["chosen"]) / batch["propensity"], plan.clip)
    robust = expected + weight * (batch["reward"] - _of(batch["predicted"], batch["chosen"])) * batch["rewarded"]
    entropy = -(policy * log_policy * batch["offered"]).sum(1)
    told = _of(log_policy, batch["label"])
    gain = jnp.where(batch["labelled"] > 0, plan.supervised * told, robust + plan.entropy * entropy)
    return -jnp.mean(gain * batch["weight"])


@partial(jax.jit, static_argnames=("loss", "plan"))
def _step(
    loss: Callable[..., jax.Array], plan: Plan, rate: Any, pull: Any, start: Parameters, state: Any, batch: Batch
) -> Any:
    """One step of Adam, on a batch."""
    parameters, moments = state

    def objective(parameters: Parameters) -> Any:
        away = sum(jnp.sum(jnp.square(parameters[name] - start[name])) for name in parameters)
        return loss(parameters, batch, plan) + pull * away

    updates, moments = _ADAM.update(jax.grad(objective)(parameters), moments)
    return {name: parameters[name] - rate * updates[name] for name in parameters}, moments


_ADAM = optax.scale_by_adam()


def _fit(
    loss: Callable[..., jax.Array], start: Parameters, groups: list[Batch], plan: Plan, seed: int, on_step: OnStep
) -> Parameters:
    count = sum(len(group["weight"]) for group in groups)
    steps = int(np.clip(plan.epochs * count // plan.batch, plan.least_steps, plan.most_steps))
    state, pull = (start, _ADAM.init(start)), np.float32(plan.pull / (2 * count))
    for step, batch in zip(range(steps), _shuffled(groups, plan.batch, seed), strict=False):
        rate = np.float32(plan.rate * (1 + np.cos(np.pi * step / steps)) / 2)
        state = _step(loss, plan, rate, pull, start, state, batch)
        on_step(step + 1, steps)
    return {name: np.asarray(value) for name, value in state[0].items()}


def _shuffled(groups: list[Batch], size: int, seed: int) -> Iterator[Batch]:
    """Batches without end, each of decisions of like padding; the last of a pass is filled up with weight 0."""
    rng = np.random.default_rng(seed)
    while True:
        batches = [
            (number, rows[start : start + size])
            for number, group in enumerate(groups)
            for rows in [rng.permutation(len(group["weight"]))]
            for start in range(0, len(rows), size)
        ]
        for place in rng.permutation(len(batches)):
            number, rows = batches[int(place)]
            filled = np.concatenate([rows, np.zeros(size - len(rows), rows.dtype)])
            batch = {name: values[filled] for name, values in groups[number].items()}
            batch["weight"][len(rows) :] = 0.0
            yield batch


def policy_of(parameters: Parameters, log: Log) -> list[NDArray[np.float32]]:
    """The policy's probabilities of each decision's actions, group by group (N, n)."""
    return [np.asarray(jnp.exp(log_probabilities(parameters, _batch(one)))) for one in log]
