"""Off-policy evaluation: what a policy would have earned, estimated from another policy's log.

The log has N decisions: reward r (N,), and the propensity p (N,) with which the logging policy chose what it chose. The
policy in question would have chosen the same with probability pi (N,); w = pi / p (N,) are the importance weights. A
reward model says q (N,) of the logged action, and v (N,) = sum over actions a of pi(a | x) q(x, a).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.floating[Any]]
Places = NDArray[np.integer[Any]]
MIN_PER_SQUARED_SKEWNESS = 25.0


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
        """An objection to its interval, a sentence: the influence has no spread, or too skewed a one for so few parts.

        Cochran's rule: n > 25 skewness^2, so that a 95 % interval misses in at most 6 % (Cochran, "Sampling
        Techniques", 3rd edition, 1977, section 2.15).
        """
        count, variance = len(self.influence), float(np.mean(np.square(self.influence))) if len(self.influence) else 0.0
        if variance == 0.0:
            return f"All {count} parts of the log are equal: they say nothing of the error." if self.value else None
        needed = MIN_PER_SQUARED_SKEWNESS * float(np.mean(self.influence**3)) ** 2 / variance**3
        if count > needed:
            return None
        return (
            f"A few of {count} independent parts of the log decide the estimate: it takes {needed:.0f} of them before"
            " its interval can be trusted. Log more, or explore more."
        )

    @property
    def doubt_of_low_end(self) -> str | None:
        """The objection to the lower end alone.

        A positive skewness makes that lower than it need be, because mean and deviation err together (Johnson, JASA
        1978), so only a negative one counts.
        """
        return self.doubt if float(np.sum(self.influence**3)) <= 0 or not np.isfinite(self.value) else None

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


def ratio(added: Floats, mass: Floats) -> Estimate:
    """Estimate sum(added) / sum(mass), (N,) each, with the influence (added - value mass) / mean(mass) (delta method).

    NaN where no mass is above zero.
    """
    mean_mass = float(np.mean(mass, dtype=np.float64))
    if mean_mass == 0.0:
        return Estimate(float("nan"), np.full(len(added), np.nan))
    value = float(np.mean(added, dtype=np.float64)) / mean_mass
    return Estimate(value, (added - value * mass) / mean_mass)


def snips(rewards: Floats, weights: Floats) -> Estimate:
    """Estimate by self-normalised IPS, sum(w r) / sum(w): consistent (Swaminathan & Joachims, NeurIPS 2015).

    NaN where no weight is above zero.
    """
    return ratio(weights * rewards, weights)


def clipped_ips(rewards: Floats, weights: Floats, clip: float, lowest: float) -> Estimate:
    """Estimate a lower bound, mean(lowest + min(w, clip) (r - lowest)), for rewards of at least `lowest`.

    Its expectation is at most the value, whatever is clipped, and whatever the policy does that the log never shows:
    both count as the lowest reward (Ionides, JCGS 2008; Bottou et al., JMLR 2013, section 4.4). In return its variance
    is bounded.
    """
    return _mean(lowest + np.minimum(weights, clip) * (rewards - lowest))


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


def unweighted_share(weights: Floats, threshold: float) -> float:
    """Return the probability with which the policy does what has a weight above `threshold`: mean(w 1[w > threshold]).

    For that share `switch_dr` is as wrong as its reward model, by at most the range of rewards each time (Wang, Agarwal
    & Dudik, ICML 2017, theorem 2).
    """
    return float(np.mean(np.where(weights > threshold, weights, 0.0), dtype=np.float64))
