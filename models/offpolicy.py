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
        """The two-sided confidence interval."""
        reach = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error
        return self.value - reach, self.value + reach

    def minus(self, other: "Estimate") -> "Estimate":
        """The paired difference to the estimate of another policy on the same log."""
        return Estimate(self.value - other.value, self.influence - other.influence)


def _mean(terms: Floats) -> Estimate:
    value = float(np.mean(terms, dtype=np.float64))
    return Estimate(value, terms - value)


def on_policy(rewards: Floats) -> Estimate:
    """The logging policy's own value: mean(r)."""
    return _mean(rewards)


def ips(rewards: Floats, weights: Floats) -> Estimate:
    """Inverse propensity scoring, mean(w r): unbiased, of high variance (Horvitz & Thompson, JASA 1952)."""
    return _mean(weights * rewards)


def snips(rewards: Floats, weights: Floats) -> Estimate:
    """Self-normalised IPS, sum(w r) / sum(w): consistent, of lower variance (Swaminathan & Joachims, NeurIPS 2015).

    Its influence, by the delta method, is w (r - value) / mean(w). NaN where no weight is above zero.
    """
    mass = float(np.mean(weights, dtype=np.float64))
    if mass == 0.0:
        return Estimate(float("nan"), np.full(len(rewards), np.nan))
    value = float(np.mean(weights * rewards, dtype=np.float64)) / mass
    return Estimate(value, weights * (rewards - value) / mass)


def direct_method(values: Floats) -> Estimate:
    """The direct method, mean(v): of low variance, as biased as the reward model (Dudik et al., ICML 2011)."""
    return _mean(values)


def doubly_robust(rewards: Floats, weights: Floats, predicted: Floats, values: Floats) -> Estimate:
    """Doubly robust, mean(v + w (r - q)): unbiased if the propensities or the reward model are right (Dudik et al.).

    `predicted` is q, `values` is v; both from a reward model that was not fitted on these decisions.
    """
    return _mean(values + weights * (rewards - predicted))


def effective_size(weights: Floats) -> float:
    """How many decisions of the policy's own the log is worth: sum(w)^2 / sum(w^2) (Kish, 1965)."""
    squares = float(np.sum(np.square(weights), dtype=np.float64))
    return float(np.sum(weights, dtype=np.float64)) ** 2 / squares if squares else 0.0
