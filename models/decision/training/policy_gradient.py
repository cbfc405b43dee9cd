"""Off-policy policy gradient: doubly robust, with clipped importance weights.

A decision has context x, chosen action a, its propensity p, and a reward r, here scaled to [0, 1].

1. The reward model q(x, a) is fitted by cross-entropy on logged rewards.
2. The policy pi maximises the mean of sum_b pi(b|x) q(x, b) + min(pi(a|x) / p, clip) (r - q(x, a)): the doubly robust
   value (Dudik, Langford & Li, ICML 2011), with importance weights clipped as in POEM (Swaminathan & Joachims, JMLR
   2015), which bounds its variance; plus the entropy of pi, so that it goes on exploring where actions are alike.
3. Where a correction names the right action, the policy maximises its log-probability, and the reward
   model treats it as the highest reward and the others as the lowest.

An L2 penalty pulls the weights to those that training began with (an earlier version's, or a uniform policy's). Each
decision has a weight, such as older ones less. A batch with M columns of weights fits M models at once.
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
from scipy.special import expit, softmax

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
    [fitted] = fit_reward_models(start, log, plan, seed, on_step)
    return fitted


def fit_reward_models(
    start: Parameters, log: Log, plan: PolicyFittingPlan, seed: int, on_step: OnStep
) -> list[Parameters]:
    """Fit a reward model for each of the M columns of weights."""
    return _fit(_reward_losses, start, [_batch(group) for group in log], plan, seed, on_step)


def reward_losses(parameters: Parameters, log: Log) -> NDArray[np.float32]:
    """Return each decision's loss of a reward model, unweighted, group by group (N,)."""
    return np.concatenate([_reward_losses(parameters, _batch(group), PolicyFittingPlan()) for group in log])


def fit_policy(
    start: Parameters, rewards: Parameters, log: Log, plan: PolicyFittingPlan, seed: int, on_step: OnStep
) -> Parameters:
    """Fit the policy with the help of a reward model."""
    batches = [{**_batch(group), "predicted": expit(scores(rewards, group.context, group.actions))} for group in log]
    [fitted] = _fit(_policy_losses, start, batches, plan, seed, on_step)
    return fitted


def _batch(group: DecisionBatch) -> Batch:
    """Return decisions as a batch with their `weight` (N, M)."""
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
        "weight": group.weight.reshape(len(group), -1),
    }


def _of(values: Any, places: Any) -> Any:
    return jnp.take_along_axis(values, places[:, None], axis=1)[:, 0]


def _reward_losses(parameters: Parameters, batch: Batch, plan: PolicyFittingPlan) -> Any:
    logits = scores(parameters, batch["context"], batch["actions"])
    numerics = jnp if isinstance(logits, jax.Array) else np
    places = np.arange(logits.shape[1])
    chosen, right = (places == batch[name][:, None] for name in ("chosen", "label"))
    losses = numerics.logaddexp(0, logits)
    rewarded = (chosen * (losses - batch["reward"][:, None] * logits)).sum(1)
    labelled = ((losses - right * logits) * batch["offered"]).sum(1) / batch["offered"].sum(1)
    # A correction counts for more than a reward of the same decision.
    return numerics.where(batch["labelled"] > 0, labelled, rewarded * batch["rewarded"])


def _policy_losses(parameters: Parameters, batch: Batch, plan: PolicyFittingPlan) -> jax.Array:
    logits = scores(parameters, batch["context"], batch["actions"])
    log_policy = jax.nn.log_softmax(jnp.where(batch["offered"], logits, -1e9))
    policy = jnp.exp(log_policy)
    expected = (policy * batch["predicted"] * batch["offered"]).sum(1)
    weight = jnp.minimum(_of(policy, batch["chosen"]) / batch["propensity"], plan.clip)
    robust = expected + weight * (batch["reward"] - _of(batch["predicted"], batch["chosen"])) * batch["rewarded"]
    entropy = -(policy * log_policy * batch["offered"]).sum(1)
    told = _of(log_policy, batch["label"])
    return -jnp.where(batch["labelled"] > 0, plan.supervised * told, robust + plan.entropy * entropy)


@partial(jax.jit, static_argnames=("losses", "plan"))
def _step(
    losses: Callable[..., jax.Array],
    plan: PolicyFittingPlan,
    rate: Any,
    pull: Any,
    start: Parameters,
    state: Any,
    batch: Batch,
) -> Any:
    """Take one step of Adam on a batch, with each of M models."""

    def objective(parameters: Parameters, weight: jax.Array) -> Any:
        away = sum(jnp.sum(jnp.square(parameters[name] - start[name])) for name in parameters)
        return jnp.mean(losses(parameters, batch, plan) * weight) + pull * away

    parameters, moments = state
    gradients = jax.vmap(jax.grad(objective), (0, 1))(parameters, batch["weight"])
    updates, moments = _ADAM.update(gradients, moments)
    return {name: parameters[name] - rate * updates[name] for name in parameters}, moments


_ADAM = optax.scale_by_adam()


def _fit(
    losses: Callable[..., jax.Array],
    start: Parameters,
    groups: list[Batch],
    plan: PolicyFittingPlan,
    seed: int,
    on_step: OnStep,
) -> list[Parameters]:
    count, models = sum(len(group["weight"]) for group in groups), groups[0]["weight"].shape[1]
    steps = int(np.clip(plan.epochs * count // plan.batch, plan.least_steps, plan.most_steps))
    starts = {name: np.stack([value] * models) for name, value in start.items()}
    state, pull = (starts, _ADAM.init(starts)), np.float32(plan.pull / (2 * count))
    # What else a plan says needs no compilation of its own.
    compiled = replace(PolicyFittingPlan(), entropy=plan.entropy, clip=plan.clip, supervised=plan.supervised)
    for step, batch in zip(range(steps), _shuffled(groups, plan.batch, seed), strict=False):
        rate = np.float32(plan.rate * (1 + np.cos(np.pi * step / steps)) / 2)
        state = _step(losses, compiled, rate, pull, start, state, batch)
        on_step(step + 1, steps)
    fitted = {name: np.asarray(value) for name, value in state[0].items()}
    return [{name: value[model] for name, value in fitted.items()} for model in range(models)]


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
    policies = []
    for group in log:
        policies.append(
            softmax(np.where(group.caps > 0, scores(parameters, group.context, group.actions), -1e9), axis=1)
        )
    return policies
