"""The value of a policy by a log: estimates with cluster-robust intervals, and objections to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from models.contributions import Contributions
from models.off_policy import Estimate, Floats, Places, effective_size, on_policy, unweighted_share

MIN_EFFECTIVE_SIZE = 100
"""Of decisions: below it, intervals by the normal approximation can't be trusted."""
MIN_CLUSTERS = 30
"""Of equal weight: below it, cluster-robust intervals are too narrow (Cameron & Miller, 2015, name 20 to 50)."""
MIN_DIFFERENT_REWARDS = 30
"""Rewards other than the most frequent one: fewer say too little of the mean, and of its error."""
Unit = Literal["decision", "slate", "episode"]
MAX_WEIGHT_SHARE = 0.1
"""The largest share of all weight that one decision, or one entity, should have."""


def cluster_numbers(entities: Sequence[str | None]) -> Places:
    """Return the number of each decision's entity, (N,), in order of appearance; one without a name is its own."""
    numbers: dict[object, int] = {}
    return np.array(
        [numbers.setdefault(entity or place, len(numbers)) for place, entity in enumerate(entities)], np.int64
    )


def doubts(weights: Floats, rewards: Floats | None = None, clusters: Places | None = None) -> tuple[str, ...]:
    """Return objections to estimates by these weights and rewards, in sentences; none for a log that supports them.

    The weights' mean is 1 if the logging policy may do all that the policy does. By how much it is less is the
    probability with which the policy does what the log never shows: of that no log can say what it earns.
    """
    if not len(weights):
        return ("The log is empty.",)
    if invalid := int(np.sum(~(np.isfinite(weights) & (weights >= 0)))):
        return (
            f"{invalid} of {len(weights)} importance weights are no finite numbers of 0 or more: check propensities.",
        )
    sentences = []
    mean = on_policy(weights) if clusters is None else on_policy(weights).by_cluster(clusters)
    _, upper = mean.interval(0.99)
    if upper < 1:
        sentences.append(
            f"The policy does what the log never shows, with a probability of about {1 - mean.value:.0%}:"
            " the weights' mean is too small. Explore, or keep to what was explored."
        )
    if (size := effective_size(weights)) < MIN_EFFECTIVE_SIZE:
        sentences.append(
            f"{len(weights)} decisions are worth {size:.0f} of the policy's own, fewer than {MIN_EFFECTIVE_SIZE}:"
            " intervals are too narrow. Log more, or explore more."
        )
    if (share := _max_share(weights)) > MAX_WEIGHT_SHARE:
        sentences.append(f"One decision has {share:.0%} of all weight: raise the floor of the propensities.")
    elif clusters is not None:
        sentences += _cluster_doubts(np.bincount(clusters, weights).astype(np.float64))
    return (*sentences, *([] if rewards is None else _reward_doubts(weights, rewards)))


def _max_share(weights: Floats) -> float:
    total = float(np.sum(weights, dtype=np.float64))
    return float(np.max(weights)) / total if total else 0.0


def _cluster_doubts(weights: Floats) -> list[str]:
    """Return objections to so few entities, or so unequal ones, with these sums of weights."""
    if (size := effective_size(weights)) < MIN_CLUSTERS:
        worth = f"{size:.0f} entities of equal weight, fewer than {MIN_CLUSTERS}"
        return [f"The decisions are worth those of {worth}: intervals are too narrow. Log more entities."]
    if (share := _max_share(weights)) > MAX_WEIGHT_SHARE:
        return [f"One entity has {share:.0%} of all weight: intervals are too narrow. Log more entities."]
    return []


def _reward_doubts(weights: Floats, rewards: Floats) -> list[str]:
    if invalid := int(np.sum(~np.isfinite(rewards))):
        return [f"{invalid} of {len(rewards)} rewards are no finite numbers."]
    values, counts = np.unique(rewards, return_counts=True)
    mode = float(values[counts.argmax()])
    if len(values) == 1:
        return [f"All {len(rewards)} rewards are {mode:g}: they say nothing of their error. Log more."]
    if (size := effective_size(weights[rewards != mode])) < MIN_DIFFERENT_REWARDS:
        return [
            f"Rewards other than {mode:g} are worth {size:.0f} of the policy's own, fewer than {MIN_DIFFERENT_REWARDS}:"
            " intervals are too narrow. Log more."
        ]
    return []


def support(contributions: Contributions) -> float:
    """Return how many times as much evidence there is as an estimate without `doubts` takes."""
    values, counts = np.unique(contributions.rewards, return_counts=True)
    different = contributions.weights[contributions.rewards != values[counts.argmax()]]
    entities = np.bincount(contributions.clusters, contributions.weights).astype(np.float64)
    return min(
        effective_size(contributions.weights) / MIN_EFFECTIVE_SIZE,
        effective_size(different) / MIN_DIFFERENT_REWARDS,
        effective_size(entities) / MIN_CLUSTERS,
    )


@dataclass(frozen=True)
class PolicyValue:
    """The value of a policy by a log: several estimators by name, and objections to all of them."""

    logged: Estimate
    """What the logging policy earned."""
    estimates: dict[str, Estimate]
    effective_decisions: float
    """Of `unit`: how many of the policy's own the log is worth."""
    doubts: tuple[str, ...]
    count: int = 0
    """The number of decisions (or slates, or episodes) that were valued."""
    unit: Unit = "decision"
    lower_bound: Estimate | None = None
    """Of which `doubts` of weights are none: what the log never shows counts as the lowest reward in it."""
    contributions: Contributions | None = None
    """Of each decision or episode to `estimate`; None if they are not known."""
    estimator_doubts: Mapping[str, str] = field(default_factory=dict)
    """Objections to single estimators, which are never the one to decide by."""

    @property
    def estimate(self) -> Estimate:
        """The estimate to decide by: doubly robust where there is a reward model, otherwise self-normalised."""
        return self.estimates["dr"] if "dr" in self.estimates else self.estimates["snips"]


def policy_value(
    logged: Estimate,
    estimates: Mapping[str, Estimate],
    weights: Floats,
    rewards: Floats,
    clusters: Places,
    ids: Sequence[str],
    unit: Unit = "decision",
) -> PolicyValue:
    """Return the value with cluster-robust intervals, and all objections to it.

    Estimates, importance weights, rewards, clusters and ids of predictions are of N decisions, or of N episodes with
    their returns.
    """
    by_cluster = {name: estimate.by_cluster(clusters) for name, estimate in estimates.items()}
    objections = doubts(weights, rewards, clusters)
    added, mass = weights * rewards, weights
    if "dr" in estimates:
        added, mass = estimates["dr"].value + estimates["dr"].influence, np.ones(len(weights))
    value = PolicyValue(
        logged.by_cluster(clusters),
        by_cluster,
        effective_size(weights),
        objections,
        len(weights),
        unit,
        contributions=Contributions(np.array(ids, np.str_), added, mass, weights, rewards, clusters),
    )
    if not objections and (skewed := value.estimate.doubt):
        return replace(value, doubts=(skewed,))
    return value


def switch_doubt(estimate: Estimate, weights: Floats, rewards: Floats, threshold: float) -> str | None:
    """Return an objection to `switch_dr`: its reward model's possible error exceeds its interval, which ignores it."""
    low, high = estimate.interval()
    share = unweighted_share(weights, threshold)
    error, reach = share * float(np.ptp(rewards)), (high - low) / 2
    if error <= reach:
        return None
    return (
        f"For {share:.1%} of what the policy does, with weights above {threshold:g}, it trusts its reward model: that"
        f" may be wrong by {error:.4f}, and the interval's {reach:.4f} does not count it."
    )
