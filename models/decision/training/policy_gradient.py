"""Off-policy policy gradient: doubly robust, with clipped importance weights.

A decision has context x, chosen action a, its propensity p, and a reward r, here scaled to [0, 1].

1. The reward model q(x, a) is fitted by cross-entropy on logged rewards.
2. The policy pi maximises the mean of sum_b pi(b|x) q(x, b) + min(pi(a|x) / p, clip) (r - q(x, a)): the doubly robust
   value (Dudik, Langford & Li, ICML 2011), with importance weights clipped as in POEM (Swaminathan & Joachims, JMLR
   2015), which bounds its variance; plus the entropy of pi, so that it goes on exploring where actions are alike.
3. Where a correction names the right action, the policy maximises its log-probability, and the reward
   model treats it as the highest reward and the others as the lowest.

An L2 penalty pulls the weights to those that training began with (an earlier version's, or a uniform policy's).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.decision.training.log_reader import DecisionBatch, Log
from models.decision.training.network import Parameters, scores

OnStep = Callable[[int, int], None]
Batch = dict[str, Any]


@dataclass(frozen=True)
class PolicyFittingPlan:
    """How a policy and its reward model are fitted."""

    epochs: int = 15
    least_steps: int = 400
    most_steps: int = 4_000
    batch: int = 256
    rate: float = 0.01
    pull: float = 1.0
    """Strength of the pull to the first weights, as a number of decisions."""
    entropy: float = 0.02
    """In rewards (scaled to [0, 1]) per nat."""
    clip: float = 10.0
    """The largest importance weight."""
    supervised: float = 1.0
    """The weight of a correction's log-probability."""
    iterations: int = 6
    """How often the returns of episodes are estimated, each time for the current policy."""


def fit_rewards(start: Parameters, log: Log, plan: PolicyFittingPlan, seed: int, on_step: OnStep) -> Parameters:
    """Fit the reward model."""
    return _fit(_reward_loss, start, [_batch(group) for group in log], plan, seed, on_step)


def fit_policy(
    start: Parameters, rewards: Parameters, log: Log, plan: PolicyFittingPlan, seed: int, on_step: OnStep
) -> Parameters:
    """Fit the policy with the help of a reward model."""
    batches = []
    for group in log:
        batch = _batch(group)
        predicted = jax.nn.sigmoid(scores(rewards, group.context, group.actions))
        batches.append({**batch, "predicted": np.asarray(predicted)})
    return _fit(_policy_loss, start, batches, plan, seed, on_step)


def log_probabilities(parameters: Parameters, batch: Batch) -> jax.Array:
    """Return the log probability of each action under the policy, (N, n); very low for padding."""
    logits = scores(parameters, batch["context"], batch["actions"])
    return jax.nn.log_softmax(jnp.where(batch["offered"], logits, -1e9))


def _batch(group: DecisionBatch) -> Batch:
    """Return decisions as a batch with `weight` 1 each; 0 marks what fills up the last batch."""
    return {
        "context": group.context,
        "actions": group.actions,
        "offered": group.caps > 0,
        "chosen": group.chosen,
        "propensity": group.propensity,
        "reward": np.nan_to_num(group.reward),
        "rewarded": np.isfinite(group.reward).astype(np.float32),
        "label": np.maximum(group.label, 0),
        "labelled": (group.label >= 0).astype(np.float32),
        "weight": np.ones(len(group), np.float32),
    }


def _of(values: Any, places: Any) -> Any:
    return jnp.take_along_axis(values, places[:, None], axis=1)[:, 0]


def _reward_loss(parameters: Parameters, batch: Batch, plan: PolicyFittingPlan) -> jax.Array:
    logits = scores(parameters, batch["context"], batch["actions"])
    rewarded = optax.sigmoid_binary_cross_entropy(_of(logits, batch["chosen"]), batch["reward"])
    right = jax.nn.one_hot(batch["label"], logits.shape[1])
    each = optax.sigmoid_binary_cross_entropy(logits, right) * batch["offered"]
    labelled = each.sum(1) / batch["offered"].sum(1)
    # A correction counts for more than a reward of the same decision.
    loss = jnp.where(batch["labelled"] > 0, labelled, rewarded * batch["rewarded"])
    return jnp.mean(loss * batch["weight"])


def _policy_loss(parameters: Parameters, batch: Batch, plan: PolicyFittingPlan) -> jax.Array:
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
    loss: Callable[..., jax.Array],
    plan: PolicyFittingPlan,
    rate: Any,
    pull: Any,
    start: Parameters,
    state: Any,
    batch: Batch,
) -> Any:
    """Take one step of Adam on a batch."""
    parameters, moments = state

    def objective(parameters: Parameters) -> Any:
        away = sum(jnp.sum(jnp.square(parameters[name] - start[name])) for name in parameters)
        return loss(parameters, batch, plan) + pull * away

    updates, moments = _ADAM.update(jax.grad(objective)(parameters), moments)
    return {name: parameters[name] - rate * updates[name] for name in parameters}, moments


_ADAM = optax.scale_by_adam()


def _fit(
    loss: Callable[..., jax.Array],
    start: Parameters,
    groups: list[Batch],
    plan: PolicyFittingPlan,
    seed: int,
    on_step: OnStep,
) -> Parameters:
    count = sum(len(group["weight"]) for group in groups)
    steps = int(np.clip(plan.epochs * count // plan.batch, plan.least_steps, plan.most_steps))
    state, pull = (start, _ADAM.init(start)), np.float32(plan.pull / (2 * count))
    # What else a plan says needs no compilation of its own.
    compiled = replace(PolicyFittingPlan(), entropy=plan.entropy, clip=plan.clip, supervised=plan.supervised)
    for step, batch in zip(range(steps), _shuffled(groups, plan.batch, seed), strict=False):
        rate = np.float32(plan.rate * (1 + np.cos(np.pi * step / steps)) / 2)
        state = _step(loss, compiled, rate, pull, start, state, batch)
        on_step(step + 1, steps)
    return {name: np.asarray(value) for name, value in state[0].items()}


def _shuffled(groups: list[Batch], size: int, seed: int) -> Iterator[Batch]:
    """Yield batches without end, each of decisions of like padding; the last of a pass is filled up with weight 0."""
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
    """Return the policy's probabilities of each decision's actions, group by group (N, n)."""
    return [np.asarray(jnp.exp(log_probabilities(parameters, _batch(group)))) for group in log]
