"""Off-policy evaluation: what a policy would have earned, estimated from another policy's log.

The log has N decisions: reward r (N,), and the propensity p (N,) with which the logging policy chose what it chose. The
policy in question would have chosen the same with probability pi (N,); w = pi / p (N,) are the importance weights. A
reward model says q (N,) of the logged action, and v (N,) = sum over actions a of pi(a | x) q(x, a).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Estimate:
    """A value with its influence function (N,): what each decision of the log adds to it, of mean zero.

    From the influence come intervals (asymptotically normal), and paired differences between policies on one log.
    """

    value: float
    influence: Floats

    @property
    def standard_error(self) -> float:
        """Of the value; infinite for a single decision."""
        count = len(self.influence)
        return float(np.std(self.influence, ddof=1) / np.sqrt(count)) if count > 1 else float("inf")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval."""
        reach = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error
        return self.value - reach, self.value + reach

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
MAX_WEIGHT_SHARE = 0.1
"""The largest share of all weight that one decision should have."""


def doubts(weights: Floats) -> tuple[str, ...]:
    """Return objections to estimates by these weights, in sentences; none for a log that supports the policy.

    The weights' mean is 1 if the logging policy may do all that the policy does. By how much it is less is the
    probability with which the policy does what the log never shows: of that no log can say what it earns.
    """
    if not len(weights):
        return ("The log is empty.",)
    sentences = []
    mean = _mean(weights)
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
    total = float(np.sum(weights, dtype=np.float64))
    if total > 0 and (share := float(np.max(weights)) / total) > MAX_WEIGHT_SHARE:
        sentences.append(f"One decision has {share:.0%} of all weight: raise the floor of the propensities.")
    return tuple(sentences)


@dataclass(frozen=True)
class PolicyValue:
    """The value of a policy by a log: several estimators by name, and objections to all of them."""

    logged: Estimate
    """What the logging policy earned."""
    estimates: dict[str, Estimate]
    effective_decisions: float
    doubts: tuple[str, ...]
