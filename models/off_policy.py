"""Off-policy evaluation: what a policy would have earned, estimated from another policy's log.

The log has N decisions: reward r (N,), and the propensity p (N,) with which the logging policy chose what it chose. The
policy in question would have chosen the same with probability pi (N,); w = pi / p (N,) are the importance weights. A
reward model says q (N,) of the logged action, and v (N,) = sum over actions a of pi(a | x) q(x, a).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.floating[Any]]
Places = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Estimate:
    """A value with its influence function (N,): what each decision of the log adds to it, of mean zero.

    From the influence come intervals (asymptotically normal), and paired differences between policies on one log. The
    N parts must be independent: decisions of one entity are not, so `by_cluster` sums theirs.
    """

    value: float
    influence: Floats

    @property
    def standard_error(self) -> float:
        """Of the value; infinite for a single decision."""
        count = len(self.influence)
        return float(np.std(self.influence, ddof=1) / np.sqrt(count)) if count > 1 else float("inf")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval by Student's t, infinite for N < 2."""
        if len(self.influence) < 2:
            return float("-inf"), float("inf")
        reach = float(special.stdtrit(len(self.influence) - 1, (1 + level) / 2)) * self.standard_error
        return self.value - reach, self.value + reach

    def by_cluster(self, clusters: Places) -> "Estimate":
        """Return the estimate with its influence summed by cluster, (G,); `clusters` (N,) are numbers from 0.

        So intervals hold although decisions of a cluster depend on one another (Liang & Zeger, Biometrika 1986). Each
        sum is divided by 1 - h, with h the cluster's share of the decisions, its leverage on a mean: large clusters
        pull the estimate towards themselves (Bell & McCaffrey, Survey Methodology 2002, the jackknife CR3).
        """
        sums: Floats = np.bincount(clusters, self.influence).astype(np.float64)
        shares = np.bincount(clusters) / len(clusters)
        if len(sums) < 2:
            return Estimate(self.value, sums)
        return Estimate(self.value, sums / (1 - shares) * (len(sums) / len(clusters)))

    @property
    def doubt(self) -> str | None:
        """An objection to its interval, a sentence: the influence is too skewed for so few independent parts.

        Cochran's rule: n > 25 skewness^2, so that a 95 % interval misses in at most 6 % (Cochran, "Sampling
        Techniques", 3rd edition, 1977, section 2.15).
        """
        count, variance = len(self.influence), float(np.mean(np.square(self.influence))) if len(self.influence) else 0.0
        if variance == 0.0:
            return None
        needed = MIN_PER_SQUARED_SKEWNESS * float(np.mean(self.influence**3)) ** 2 / variance**3
        if count > needed:
            return None
        return (
            f"A few of {count} independent parts of the log decide the estimate: it takes {needed:.0f} of them before"
            " its interval can be trusted. Log more, or explore more."
        )

    def minus(self, other: "Estimate") -> "Estimate":
        """Return the paired difference to the estimate of another policy on the same log."""
        return Estimate(self.value - other.value, self.influence - other.influence)


def _mean(terms: Floats) -> Estimate:
    value = float(np.mean(terms, dtype=np.float64))
    return Estimate(value, terms - value)


def on_policy(rewards: Floats) -> Estimate:
    """Return the logging policy's own value: mean(r)."""
    return _mean(rewards)


def ips(rewards: Floats, weights: Floats) -> Estimate:
    """Estimate by inverse propensity scoring, mean(w r): unbiased, of high variance (Horvitz & Thompson, JASA 1952)."""
    return _mean(weights * rewards)


def snips(rewards: Floats, weights: Floats) -> Estimate:
    """Estimate by self-normalised IPS, sum(w r) / sum(w): consistent (Swaminathan & Joachims, NeurIPS 2015).

    Its influence, by the delta method, is w (r - value) / mean(w). NaN where no weight is above zero.
    """
    mass = float(np.mean(weights, dtype=np.float64))
    if mass == 0.0:
        return Estimate(float("nan"), np.full(len(rewards), np.nan))
    value = float(np.mean(weights * rewards, dtype=np.float64)) / mass
    return Estimate(value, weights * (rewards - value) / mass)


def direct_method(values: Floats) -> Estimate:
    """Estimate by the direct method, mean(v): of low variance, as biased as the reward model (Dudik et al., ICML 2011).

    Its interval knows nothing of that bias.
    """
    return _mean(values)


def doubly_robust(rewards: Floats, weights: Floats, predicted: Floats, values: Floats) -> Estimate:
    """Estimate doubly robustly, mean(v + w (r - q)): unbiased if propensities or reward model are right (Dudik et al.).

    `predicted` is q, `values` is v; both from a reward model that was not fitted on these decisions.
    """
    return _mean(values + weights * (rewards - predicted))


def switch_dr(rewards: Floats, weights: Floats, predicted: Floats, values: Floats, threshold: float) -> Estimate:
    """Estimate doubly robustly where w <= `threshold`, directly above (Wang, Agarwal & Dudik, ICML 2017).

    Bounded variance, for the reward model's bias on the few decisions whose weights are the largest. Other arguments
    are as in `doubly_robust`, which it is for an infinite threshold.
    """
    trusted = np.where(weights <= threshold, weights, 0.0)
    return _mean(values + trusted * (rewards - predicted))


def effective_size(weights: Floats) -> float:
    """Return how many decisions of the policy's own the log is worth: sum(w)^2 / sum(w^2) (Kish, 1965)."""
    squares = float(np.sum(np.square(weights), dtype=np.float64))
    return float(np.sum(weights, dtype=np.float64)) ** 2 / squares if squares else 0.0


MIN_EFFECTIVE_SIZE = 100
"""Of decisions: below it, intervals by the normal approximation can't be trusted."""
MIN_CLUSTERS = 30
"""Of equal weight: below it, cluster-robust intervals are too narrow (Cameron & Miller, 2015, name 20 to 50)."""
MIN_DIFFERENT_REWARDS = 30
"""Rewards other than the most frequent one: fewer say too little of the mean, and of its error."""
MIN_PER_SQUARED_SKEWNESS = 25.0
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
    mean = _mean(weights) if clusters is None else _mean(weights).by_cluster(clusters)
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
    """The number of decisions (or episodes) that were valued."""
    unit: Literal["decision", "episode"] = "decision"

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
    unit: Literal["decision", "episode"] = "decision",
) -> PolicyValue:
    """Return the value with cluster-robust intervals, and all objections to it.

    Estimates, importance weights, rewards and clusters are of N decisions, or of N episodes with their returns.
    """
    by_cluster = {name: estimate.by_cluster(clusters) for name, estimate in estimates.items()}
    objections = doubts(weights, rewards, clusters)
    value = PolicyValue(
        logged.by_cluster(clusters), by_cluster, effective_size(weights), objections, len(weights), unit
    )
    if not objections and (skewed := value.estimate.doubt):
        return replace(value, doubts=(skewed,))
    return value
