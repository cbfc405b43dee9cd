"""Off-policy evaluation of versions on one log: what each would have earned, and their paired differences.

All versions are valued by one reward model, fitted anew to this log by cross-fitting: each half of the decisions is
valued by a model of the other half (Chernozhukov et al., The Econometrics Journal, 2018). So the doubly robust
estimates stay unbiased, and the versions' differences are paired: chance affects all versions alike.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

from models import off_policy
from models.base import OnStep, Untrainable
from models.decision.episode_values import value_episodes
from models.decision.served_policy import of_chosen, served_policies
from models.decision.task import Decision
from models.decision.train import PLAN, network_of
from models.decision.training.log_reader import Log, LoggedDecision, grouped, read
from models.decision.training.network import Network, initial, scores
from models.decision.training.policy_gradient import fit_rewards
from models.decision.training.policy_iteration import MIN_DECISIONS, initial_logit, reward_range, scaled
from models.decision.training.returns import flat, standardised
from models.off_policy import Estimate, Floats, Places
from models.policy_value import PolicyValue, cluster_numbers, policy_value, switch_doubt


def evaluate_versions(
    task: Decision, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Return each version's value, with the task's exploration, in rewards. The same for the same arguments.

    Decisions in episodes are valued by the episode (`models.decision.episode_values`). Raises `Untrainable` for a log
    with fewer than 30 rewards, or whole episodes, and for a model of something else.
    """
    logged, networks = list(read(dataset)), [network_of(path, task.schema) for path in versions]
    if any(decision.step is not None for decision in logged):
        return value_episodes(task, networks, logged, seed, on_step)
    rewarded = _rewarded(logged)
    log, clusters = grouped(rewarded), cluster_numbers([decision.entity for decision in rewarded])
    low, high = reward_range(log, None)
    shares = _cross_fitted(scaled(log, low, high), networks[0], clusters, seed, on_step)
    predicted = [low + (high - low) * share for share in shares]
    rewards, propensities = (flat(log, [getattr(group, name) for group in log]) for name in ("reward", "propensity"))
    predicted_chosen, ids = of_chosen(log, predicted), [decision.prediction_id for decision in rewarded]
    version_values = []
    for network in networks:
        policies = served_policies(task, network, log)
        weights = of_chosen(log, policies) / propensities
        expected = [(policy * of_group).sum(1) for policy, of_group in zip(policies, predicted, strict=True)]
        estimates = _estimates(rewards, weights, predicted_chosen, flat(log, expected))
        logged_value = off_policy.on_policy(rewards)
        value = policy_value(logged_value, estimates, weights, rewards, clusters, ids)
        doubt = switch_doubt(value.estimates["switch-dr"], weights, rewards, PLAN.clip)
        version_values.append(replace(value, estimator_doubts={"switch-dr": doubt}) if doubt else value)
    return version_values


def _rewarded(logged: Sequence[LoggedDecision]) -> list[LoggedDecision]:
    """Return the decisions that have a reward. Raises `Untrainable`."""
    rewarded = [decision for decision in logged if decision.reward is not None]
    if len(rewarded) < MIN_DECISIONS:
        raise Untrainable(
            f"{len(rewarded)} decisions have a reward, at least {MIN_DECISIONS} are needed. Replay a longer time."
        )
    return rewarded


def _cross_fitted(
    log: Log, network: Network, clusters: Places, seed: int, on_step: OnStep
) -> list[NDArray[np.float64]]:
    """Return the reward, as a share of its range, that is expected of each action: (N, n) for each group.

    The decisions of a cluster are in one half.
    """
    standard = standardised(log, network.scale)
    columns, width = standard[0].context.shape[1], standard[0].actions.shape[2]
    shares = [np.zeros(group.actions.shape[:2]) for group in standard]
    for half in (0, 1):
        others = [group.take(np.flatnonzero(clusters[group.place] % 2 != half)) for group in standard]
        others = [group for group in others if len(group)]
        start = initial(columns, width, np.random.default_rng(seed), initial_logit(others))
        doing = f"fitting the reward model, half {half + 1}"
        fitted = fit_rewards(start, others, PLAN, seed, partial(on_step, doing))
        for of_group, group in zip(shares, standard, strict=True):
            rows = np.flatnonzero(clusters[group.place] % 2 == half)
            part = group.take(rows)
            of_group[rows] = np.asarray(jax.nn.sigmoid(scores(fitted, part.context, part.actions)))
    return shares


def _estimates(rewards: Floats, weights: Floats, predicted: Floats, values: Floats) -> dict[str, Estimate]:
    """Estimate the value. Switch-DR trusts the reward model beyond the weight that the learner clips at."""
    return {
        "ips": off_policy.ips(rewards, weights),
        "snips": off_policy.snips(rewards, weights),
        "dm": off_policy.direct_method(values),
        "dr": off_policy.doubly_robust(rewards, weights, predicted, values),
        "switch-dr": off_policy.switch_dr(rewards, weights, predicted, values, PLAN.clip),
    }
