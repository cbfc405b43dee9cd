"""Off-policy evaluation of versions on one log: what each would have earned, and their paired differences.

All versions are valued by one reward model, fitted anew to this log by cross-fitting: each half of the decisions is
valued by a model of the other half (Chernozhukov et al., The Econometrics Journal, 2018). So the doubly robust
estimates stay unbiased, and the versions' differences are paired: chance affects all versions alike.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

from models import off_policy
from models.base import OnStep, Untrainable
from models.decision.exploration import PARTS
from models.decision.task import Decision
from models.decision.train import PLAN, network_of
from models.decision.training.log_reader import DecisionBatch, Log, grouped, read
from models.decision.training.network import Network, initial, scores
from models.decision.training.policy_gradient import fit_rewards
from models.decision.training.policy_iteration import MIN_DECISIONS, initial_logit, reward_range, scaled
from models.decision.training.returns import flat, standardised
from models.off_policy import Floats, PolicyValue


def evaluate_versions(
    task: Decision, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Return each version's value, with the task's exploration, in rewards. The same for the same arguments.

    Raises `Untrainable` for a log with fewer than 30 rewards, for one in episodes and for a model of something else.
    """
    log, networks = _rewarded(dataset), [network_of(path, task.schema) for path in versions]
    low, high = reward_range(log, None)
    shares = _cross_fitted(scaled(log, low, high), networks[0], seed, on_step)
    predicted = [low + (high - low) * share for share in shares]
    rewards, propensities = (flat(log, [getattr(group, name) for group in log]) for name in ("reward", "propensity"))
    predicted_chosen = _of_chosen(log, predicted)
    version_values = []
    for network in networks:
        policies = [_served(task, network, group) for group in standardised(log, network.scale)]
        weights = _of_chosen(log, policies) / propensities
        expected = [(policy * of_group).sum(1) for policy, of_group in zip(policies, predicted, strict=True)]
        version_values.append(_estimates(rewards, weights, predicted_chosen, flat(log, expected)))
    return version_values


def _rewarded(dataset: Path) -> Log:
    """Return the decisions of a dataset that have a reward. Raises `Untrainable`."""
    logged = [decision for decision in read(dataset) if decision.reward is not None]
    if any(decision.step is not None for decision in logged):
        raise Untrainable("These decisions are steps of episodes: a version's card says what it is worth in those.")
    if len(logged) < MIN_DECISIONS:
        raise Untrainable(
            f"{len(logged)} decisions have a reward, at least {MIN_DECISIONS} are needed. Replay a longer time."
        )
    return grouped(logged)


def _served(task: Decision, network: Network, group: DecisionBatch) -> NDArray[np.float64]:
    """Return the probability with which each action would be served, (N, n); 0 of padding."""
    logits = np.asarray(scores(network.policy, group.context, group.actions))
    values = np.zeros(logits.shape)
    for row, (count, of_decision) in enumerate(zip(group.count, logits, strict=True)):
        values[row, :count] = task.exploration.parts(of_decision[:count]) / PARTS
    return values


def _of_chosen(log: Log, tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the values of the chosen actions, (N,), from values of all actions, (N, n) for each group."""
    return flat(log, [table[np.arange(len(group)), group.chosen] for table, group in zip(tables, log, strict=True)])


def _cross_fitted(log: Log, network: Network, seed: int, on_step: OnStep) -> list[NDArray[np.float64]]:
    """Return the reward, as a share of its range, that is expected of each action: (N, n) for each group."""
    standard = standardised(log, network.scale)
    columns, width = standard[0].context.shape[1], standard[0].actions.shape[2]
    shares = [np.zeros(group.actions.shape[:2]) for group in standard]
    for half in (0, 1):
        others = [group.take(np.flatnonzero(group.place % 2 != half)) for group in standard]
        others = [group for group in others if len(group)]
        start = initial(columns, width, np.random.default_rng(seed), initial_logit(others))
        doing = f"fitting the reward model, half {half + 1}"
        fitted = fit_rewards(start, others, PLAN, seed, partial(on_step, doing))
        for of_group, group in zip(shares, standard, strict=True):
            rows = np.flatnonzero(group.place % 2 == half)
            part = group.take(rows)
            of_group[rows] = np.asarray(jax.nn.sigmoid(scores(fitted, part.context, part.actions)))
    return shares


def _estimates(rewards: Floats, weights: Floats, predicted: Floats, values: Floats) -> PolicyValue:
    """Estimate the value. Switch-DR trusts the reward model beyond the weight that the learner clips at."""
    estimates = {
        "ips": off_policy.ips(rewards, weights),
        "snips": off_policy.snips(rewards, weights),
        "dm": off_policy.direct_method(values),
        "dr": off_policy.doubly_robust(rewards, weights, predicted, values),
        "switch-dr": off_policy.switch_dr(rewards, weights, predicted, values, PLAN.clip),
    }
    return PolicyValue(
        off_policy.on_policy(rewards), estimates, off_policy.effective_size(weights), off_policy.doubts(weights)
    )
