"""From logged decisions to a network, and what other logged decisions say of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import off_policy
from models.base import OnStep, Untrainable
from models.decision.schema import Group, Schema
from models.decision.training.log_reader import Log, total
from models.decision.training.network import Network, Scale, initial, scores
from models.decision.training.policy_gradient import Plan, fit_policy, fit_rewards, policy_of
from models.decision.training.returns import Played, standardised
from models.decision.training.trajectories import Runs
from models.nn.calibration import best_temperature, expected_calibration_error

Floats = NDArray[np.floating[Any]]
LEAST_DECISIONS = 30
LEAST_CHECKED = 300


@dataclass(frozen=True)
class Fitted:
    """A network, and what there was to fit it on: returns in [0, 1] of their range, and `checked` as it was logged."""

    network: Network
    train: Log
    validation: Log
    checked: Played


def fit(
    schema: Schema, runs: Runs, parent: Network | None, gamma: float, seed: int, on_step: OnStep, plan: Plan
) -> Fitted:
    """A policy and its reward model from logged decisions. Raises `Untrainable`.

    In episodes a return depends on how the policy goes on: it is estimated anew for the policy as it is by then, and
    both are fitted again, a few times (policy iteration). The reward model goes on from where it was: one that lags
    behind the returns leaves residuals to the importance weights, and large ones have made good policies useless.
    """
    played, checked = (Played.of(runs.of(split)) for split in ("train", "validation"))
    if total(played.log) < LEAST_DECISIONS:
        raise Untrainable(
            f"{total(played.log)} decisions to learn from: at least {LEAST_DECISIONS} with a reward or a correction "
            f"are needed in the split `train`{_without(runs.left_out)}. "
            "Replay a longer time, or wait for more feedback."
        )
    earned = played.returns(gamma, None)
    low, high = reward_range(earned, parent)
    if parent is None:
        learning = scaled(earned, low, high)
        columns, width = learning[0].context.shape[1], learning[0].actions.shape[2]
        policy, rewards = (
            initial(columns, width, np.random.default_rng(seed), bias) for bias in (0.0, usual(learning))
        )
        start = Network(policy, rewards, _scale(schema, learning), 1.0, (low, high), schema.described())
    else:
        start = replace(parent, reward_range=(low, high))
    network, rewards = parent, start.rewards
    for _ in range(plan.iterations if played.in_steps else 1):
        learning = scaled(played.returns(gamma, network), low, high)
        standard = standardised(learning, start.scale)
        rewards = fit_rewards(rewards, standard, plan, seed, _named(on_step, "fitting the reward model"))
        policy = fit_policy(start.policy, rewards, standard, plan, seed, _named(on_step, "fitting the policy"))
        network = replace(start, policy=policy, rewards=rewards, temperature=1.0)
    assert network is not None
    checking = scaled(checked.returns(gamma, network), low, high)
    return Fitted(replace(network, temperature=_temperature(network, checking)), learning, checking, checked)


def _without(left_out: dict[str, int]) -> str:
    return f" (left out: {', '.join(f'{count} {why}' for why, count in left_out.items())})" if left_out else ""


def evaluated(network: Network, log: Log) -> dict[str, Any]:
    """What the network's policy would have earned on logged decisions (rewards, or returns, in [0, 1] of their range).

    `corrected_right` is the share of corrections that name what it holds to be best.
    """
    figures: dict[str, Any] = {}
    if len(hits := _hits(network, log)):
        figures["corrected_right"] = round(float(hits.mean()), 5)
    rows = _rewarded(network, log)
    if rows is None:
        return figures
    estimates = {
        "logged": off_policy.on_policy(rows.reward),
        "snips": off_policy.snips(rows.reward, rows.weight),
        "doubly_robust": off_policy.doubly_robust(rows.reward, rows.weight, rows.predicted, rows.value),
    }
    for name, one in estimates.items():
        figures[name] = [round(number, 5) for number in (one.value, *one.interval())]
    figures["effective_decisions"] = round(off_policy.effective_size(rows.weight), 1)
    figures["reward_ece"] = round(expected_calibration_error(rows.predicted, rows.reward), 5)
    return figures


def _hits(network: Network, log: Log) -> NDArray[np.bool_]:
    """Of each decision with a correction, whether the most probable action is the one that it names."""
    standard = standardised(log, network.scale)
    groups = zip(standard, policy_of(network.policy, standard), strict=True)
    return np.concatenate(
        [(policy.argmax(1) == one.label)[one.label >= 0] for one, policy in groups] or [np.zeros(0, bool)]
    )


@dataclass(frozen=True)
class Rewarded:
    """Decisions with a reward, (N,) each: the reward, importance weight, and what the reward model says of it.

    `logit` is of the `predicted` reward; `value` is the policy's by the model.
    """

    reward: NDArray[Any]
    weight: Floats
    logit: Floats
    predicted: Floats
    value: Floats


def _rewarded(network: Network, log: Log) -> Rewarded | None:
    standard, parts = standardised(log, network.scale), []
    for one, policy in zip(standard, policy_of(network.policy, standard), strict=True):
        chosen = (np.arange(len(one)), one.chosen)
        logits = np.asarray(scores(network.rewards, one.context, one.actions), np.float64) / network.temperature
        model = 1 / (1 + np.exp(-logits))
        columns = (one.reward, policy[chosen] / one.propensity, logits[chosen], model[chosen], (policy * model).sum(1))
        parts.append([column[np.isfinite(one.reward)] for column in columns])
    if not sum(len(rewards) for rewards, *_ in parts):
        return None
    return Rewarded(*map(np.concatenate, zip(*parts, strict=True)))


def _temperature(network: Network, log: Log) -> float:
    """What divides the reward model's scores so that it says what comes true: by cross-entropy on validation decisions.

    Fewer than `LEAST_CHECKED` of them leave the scores as they are.
    """
    rows = _rewarded(network, log)
    if rows is None or len(rows.reward) < LEAST_CHECKED:
        return 1.0

    def cross_entropy(temperature: float) -> float:
        logits = rows.logit / temperature
        return float(np.mean(np.logaddexp(0, logits) - rows.reward * logits))

    return best_temperature(cross_entropy)


def reward_range(log: Log, parent: Network | None) -> tuple[float, float]:
    """The lowest and highest reward, the parent's among them; what a correction says is taken for these."""
    rewards = np.concatenate([one.reward for one in log] + ([np.array(parent.reward_range)] if parent else []))
    rewards = rewards[np.isfinite(rewards)]
    if not len(rewards):
        return 0.0, 1.0
    low, high = float(rewards.min()), float(rewards.max())
    if low == high:
        raise Untrainable(f"All rewards are {low:g}: nothing says that one action is better than another.")
    return low, high


def usual(log: Log) -> float:
    """The logit of the mean reward (in [0, 1]): what the reward model says of any action before it has learnt more."""
    rewards = np.concatenate([one.reward for one in log])
    rewards = rewards[np.isfinite(rewards)]
    mean = float(np.clip(rewards.mean(), 1e-4, 1 - 1e-4)) if len(rewards) else 0.5
    return float(np.log(mean) - np.log1p(-mean))


def scaled(log: Log, low: float, high: float) -> Log:
    """With rewards as shares of their range."""
    return [replace(one, reward=np.clip((one.reward - low) / (high - low), 0, 1).astype(np.float32)) for one in log]


def _scale(schema: Schema, log: Log) -> Scale:
    context = np.concatenate([one.context for one in log])
    offered = [one.actions[np.arange(one.actions.shape[1]) < one.count[:, None]] for one in log]
    mean, deviation = _moments(context[:, 1:], schema.context)
    of_actions = _moments(np.concatenate(offered), schema.actions)
    return Scale(np.insert(mean, 0, 0), np.insert(deviation, 0, 1), *of_actions)  # the constant stays as it is


def _moments(values: NDArray[np.float32], group: Group) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of numeric columns; 0 and 1 of others, and 1 where a number never changes."""
    mean, deviation = values.mean(0, np.float64), values.std(0, np.float64)
    deviation = np.where(deviation > 1e-6 * np.maximum(1.0, np.abs(mean)), deviation, 1.0)
    numeric = group.numeric
    return np.where(numeric, mean, 0).astype(np.float32), np.where(numeric, deviation, 1).astype(np.float32)


def _named(on_step: OnStep, doing: str) -> Callable[[int, int], None]:
    return lambda step, steps: on_step(doing, step, steps)
