"""Off-policy evaluation of versions on one log: what each would have earned, and their paired differences.

All versions are valued by one reward model, fitted anew to this log by cross-fitting: each half of the decisions is
valued by a model of the other half (Chernozhukov et al., The Econometrics Journal, 2018). So the doubly robust
estimates stay unbiased, and the versions' differences are paired: chance affects all versions alike.

Slates are valued by the slate, in the sum of their positions' rewards. The reward of a position is weighted by the
product of the ratios of the positions up to it, no further: it may depend on what is before it, not on what comes after
(the cascade; reward interaction IPS, McInerney et al., KDD 2020; with a reward model, Kiyohara et al., WSDM 2022).
These are the per-decision weights of `models.episodic_off_policy`, with a position for a step.
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
from models.episodic_off_policy import Episodes, ReturnModel
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
    log, slates = grouped(rewarded), _slates(rewarded)
    first = [decision for decision in rewarded if decision.position == 1]
    clusters, ids = cluster_numbers([one.entity for one in first]), [one.prediction_id for one in first]
    low, high = reward_range(log, None)
    shares = _cross_fitted(scaled(log, low, high), networks[0], clusters[slates.number], seed, on_step)
    predicted = [low + (high - low) * share for share in shares]
    rewards, propensities = (flat(log, [getattr(group, name) for group in log]) for name in ("reward", "propensity"))
    predicted_chosen = of_chosen(log, predicted)
    version_values = []
    for network in networks:
        policies = served_policies(task, network, log)
        weights = of_chosen(log, policies) / propensities
        expected = [(policy * of_group).sum(1) for policy, of_group in zip(policies, predicted, strict=True)]
        model = ReturnModel(weights, predicted_chosen, flat(log, expected))
        version_values.append(value_slates(slates, rewards, model, clusters, ids))
    return version_values


def value_slates(
    slates: Episodes, rewards: Floats, model: ReturnModel, clusters: Places, ids: Sequence[str]
) -> PolicyValue:
    """Value a version by the slate: by rewards (N,) and a model of N positions, and clusters and ids of slates (S,)."""
    if len(slates.lengths) == len(rewards):
        estimates = _estimates(rewards, model.weights, model.predicted, model.values)
        logged = off_policy.on_policy(rewards)
        value = policy_value(logged, estimates, model.weights, rewards, clusters, ids)
        doubt = switch_doubt(value.estimates["switch-dr"], model.weights, rewards, PLAN.clip)
        return replace(value, estimator_doubts={"switch-dr": doubt}) if doubt else value
    estimates = {
        "ips": slates.per_decision(rewards, model.weights, 1.0),
        "snips": slates.weighted_per_decision(rewards, model.weights, 1.0),
        "dr": slates.doubly_robust(rewards, model, 1.0),
    }
    sums = np.bincount(slates.number, rewards).astype(np.float64)
    whole = slates.products(model.weights)[slates.last]
    return policy_value(off_policy.on_policy(sums), estimates, whole, sums, clusters, ids, "slate")


def _slates(rewarded: Sequence[LoggedDecision]) -> Episodes:
    """Return which decisions are positions of one slate; a decision by itself is a slate of one."""
    starts = [place for place, decision in enumerate(rewarded) if decision.position == 1]
    return Episodes.of(np.diff([*starts, len(rewarded)]).tolist())


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
