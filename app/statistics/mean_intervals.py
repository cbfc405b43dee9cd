"""Intervals of a weighted mean: valid for one look, unlike those of `app.statistics.confidence_sequences`."""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy import special

from app.statistics.confidence_sequences import Interval
from models.off_policy import Floats

_DRAWS = 2000


def clustered_mean(
    values: Floats, weights: Floats, clusters: Sequence[Hashable], level: float
) -> tuple[float, Interval]:
    """Return sum(w x) / sum(w) of values (N,) with weights (N,) above 0, and its two-sided interval.

    Student's t has one degree of freedom less than there are clusters. With few clusters it is nearer to its level than
    a bootstrap. It is infinite for one cluster.
    """
    mean, error, count = clustered_error(values, weights, clusters)
    margin = float(special.stdtrit(count - 1, (1 + level) / 2)) * error if count > 1 else np.inf
    return mean, (mean - margin, mean + margin)


def clustered_error(values: Floats, weights: Floats, clusters: Sequence[Hashable]) -> tuple[float, float, int]:
    """Return sum(w x) / sum(w) of values (N,) with weights (N,) above 0, its standard error, and the clusters' number.

    Values of one cluster (N,) may depend on each other; clusters are independent. Each cluster is left out in turn: the
    standard error is that of the jackknife (CV3 of MacKinnon, Nielsen & Webb, "Cluster-robust inference", Journal of
    Econometrics 2023), and infinite for one cluster.
    """
    codes: dict[Hashable, int] = {}
    index = np.array([codes.setdefault(cluster, len(codes)) for cluster in clusters])
    sums, masses, count = np.bincount(index, values * weights), np.bincount(index, weights), len(codes)
    mean = float(sums.sum() / masses.sum())
    if count < 2:
        return mean, np.inf, count
    without = (sums.sum() - sums) / (masses.sum() - masses)
    return mean, float(np.sqrt((count - 1) / count * np.sum((without - mean) ** 2))), count


def bounded_mean_low(values: Floats, weights: Floats, lowest: float, level: float, rng: np.random.Generator) -> float:
    """Return the lower end of the two-sided interval of the mean of values (N,) that are `lowest` at least.

    It reckons with values that are too rare to be among these: the Bayesian bootstrap, with `lowest` as one more value
    (Gaffke, 2005; Learned-Miller & Thomas, "A New Confidence Interval for the Mean of a Bounded Random
    Variable", 2019). For values of 0 and 1 it is the interval of Clopper and Pearson. Its level was never seen to be
    missed, but is proven for special cases only.
    """
    values, weights = np.append(values, lowest), np.append(weights, np.max(weights))
    means = np.empty(_DRAWS)
    for draw in range(_DRAWS):  # one by one, because all together need N x 2000 numbers
        drawn = weights * rng.standard_exponential(len(values))
        means[draw] = drawn @ values / drawn.sum()
    return float(np.quantile(means, (1 - level) / 2))
