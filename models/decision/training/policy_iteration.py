"""Policy iteration: fit a network to logged decisions, and evaluate it on others."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import OnStep, Untrainable
from models.decision.schema import Group, Schema
from models.decision.task import Decision
from models.decision.training.evaluation import rewarded
from models.decision.training.heads import for_exploration
from models.decision.training.history import chosen_half_life
from models.decision.training.log_reader import Log, total
from models.decision.training.network import Network, Scale, initial
from models.decision.training.policy_gradient import PolicyFittingPlan, fit_policy, fit_rewards
from models.decision.training.returns import TrajectoryBatch, standardised
from models.decision.training.trajectories import Trajectories
from models.nn.calibration import best_temperature

Floats = NDArray[np.floating[Any]]
MIN_DECISIONS = 30
MIN_CALIBRATION_DECISIONS = 300


@dataclass(frozen=True)
class FittedPolicy:
    """A network and its data: returns as shares of their range, and `checked` with rewards as logged."""

    network: Network
    train: Log
    validation: Log
    checked: TrajectoryBatch
    half_life: float
    """In decisions of `train`; infinite where all count alike."""


def fit(
    task: Decision,
    trajectories: Trajectories,
    parent: Network | None,
    seed: int,
    on_step: OnStep,
    plan: PolicyFittingPlan,
) -> FittedPolicy:
    """Return a policy and its reward model from logged decisions. Raises `Untrainable`.

    In episodes a return depends on how the policy goes on: it is estimated anew for the policy as it is by then, and
    both are fitted again, a few times (policy iteration). The reward model continues from its last weights: a reward
    model that lags behind the returns leaves large residuals to the importance weights, which ruined good policies.
    """
    played, checked = (TrajectoryBatch.of(trajectories.of(split)) for split in ("train", "validation"))
    if total(played.log) < MIN_DECISIONS:
        raise Untrainable(
            f"{total(played.log)} decisions to learn from: at least {MIN_DECISIONS} with a reward or a correction "
            f"are needed in the split `train`{_without(trajectories.left_out)}. "
            "Replay a longer time, or wait for more feedback."
        )
    earned = played.returns(task.gamma, None)
    low, high = reward_range(earned, parent)
    start = _start(task.schema, scaled(earned, low, high), parent, (low, high), seed)
    earned = standardised(scaled(earned, low, high), start.scale)
    half_life = task.half_life or chosen_half_life(
        start.rewards, earned, plan, seed, _named(on_step, "weighing history")
    )
    played, checked = played.decayed(half_life), checked.decayed(half_life * total(checked.log) / total(played.log))
    network, rewards, learning, standard = parent, start.rewards, played.log, earned
    for _ in range(plan.iterations if played.in_steps else 1):
        learning = scaled(played.returns(task.gamma, network), low, high)
        standard = standardised(learning, start.scale)
        rewards = fit_rewards(rewards, standard, plan, seed, _named(on_step, "fitting the reward model"))
        policy = fit_policy(start.policy, rewards, standard, plan, seed, _named(on_step, "fitting the policy"))
        network = replace(start, policy=policy, rewards=rewards)
    assert network is not None
    checking = scaled(checked.returns(task.gamma, network), low, high)
    network = replace(network, temperature=_temperature(network, checking))
    network = for_exploration(
        network, start.rewards, standard, task.exploration, plan, seed, _named(on_step, "fitting heads")
    )
    return FittedPolicy(network, learning, checking, checked, half_life)


def _start(schema: Schema, log: Log, parent: Network | None, bounds: tuple[float, float], seed: int) -> Network:
    """Return the network that fitting starts from: the parent's, or one that holds all actions to be alike."""
    if parent is not None:
        return replace(parent, reward_range=bounds, temperature=1.0, gamma=None, heads=())
    columns, width = log[0].context.shape[1], log[0].actions.shape[2]
    policy, rewards = (initial(columns, width, np.random.default_rng(seed), bias) for bias in (0.0, initial_logit(log)))
    return Network(policy, rewards, _scale(schema, log), 1.0, bounds, schema.described())


def _without(left_out: dict[str, int]) -> str:
    return f" (left out: {', '.join(f'{count} {why}' for why, count in left_out.items())})" if left_out else ""


def _temperature(network: Network, log: Log) -> float:
    """Return the temperature that calibrates the reward model, by cross-entropy on validation decisions.

    Fewer than `MIN_CALIBRATION_DECISIONS` of them leave the scores as they are.
    """
    rows = rewarded(network, log)
    if rows is None or len(rows.reward) < MIN_CALIBRATION_DECISIONS:
        return 1.0

    def cross_entropy(temperature: float) -> float:
        logits = rows.logit / temperature
        return float(np.average(np.logaddexp(0, logits) - rows.reward * logits, weights=rows.history_weight))

    return best_temperature(cross_entropy)


def reward_range(log: Log, parent: Network | None) -> tuple[float, float]:
    """Return the lowest and highest reward, the parent's among them; corrections count as these."""
    rewards = np.concatenate([group.reward for group in log] + ([np.array(parent.reward_range)] if parent else []))
    rewards = rewards[np.isfinite(rewards)]
    if not len(rewards):
        return 0.0, 1.0
    low, high = float(rewards.min()), float(rewards.max())
    if low == high:
        raise Untrainable(f"All rewards are {low:g}: nothing says that one action is better than another.")
    return low, high


def initial_logit(log: Log) -> float:
    """Return the logit of the mean reward, in [0, 1]: the reward model's first prediction for any action."""
    rewards = np.concatenate([group.reward for group in log])
    rewards = rewards[np.isfinite(rewards)]
    mean = float(np.clip(rewards.mean(), 1e-4, 1 - 1e-4)) if len(rewards) else 0.5
    return float(np.log(mean) - np.log1p(-mean))


def scaled(log: Log, low: float, high: float) -> Log:
    """Return the log with rewards as shares of their range."""
    return [
        replace(group, reward=np.clip((group.reward - low) / (high - low), 0, 1).astype(np.float32)) for group in log
    ]


def _scale(schema: Schema, log: Log) -> Scale:
    context = np.concatenate([group.context for group in log])
    offered = [group.actions[np.arange(group.actions.shape[1]) < group.count[:, None]] for group in log]
    mean, deviation = _moments(context[:, 1:], schema.context)
    of_actions = _moments(np.concatenate(offered), schema.actions)
    return Scale(np.insert(mean, 0, 0), np.insert(deviation, 0, 1), *of_actions)  # the constant stays as it is


def _moments(values: NDArray[np.float32], group: Group) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation of numeric columns; 0 and 1 of others, and 1 where a number never changes."""
    mean, deviation = values.mean(0, np.float64), values.std(0, np.float64)
    deviation = np.where(deviation > 1e-6 * np.maximum(1.0, np.abs(mean)), deviation, 1.0)
    numeric = group.numeric
    return np.where(numeric, mean, 0).astype(np.float32), np.where(numeric, deviation, 1).astype(np.float32)


def _named(on_step: OnStep, doing: str) -> Callable[[int, int], None]:
    return lambda step, steps: on_step(doing, step, steps)
