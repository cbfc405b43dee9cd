"""The bootstrap interval of a weighted mean."""

import numpy as np

from app.statistics.confidence_sequences import Interval
from models.off_policy import Floats

_RESAMPLES = 2000


def weighted_mean(values: Floats, weights: Floats, level: float, rng: np.random.Generator) -> tuple[float, Interval]:
    """Return sum(w x) / sum(w) of values (N,) with weights (N,) above 0, and its two-sided percentile interval.

    Each value is drawn together with its weight (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993,
    chapters 6 and 13). The interval is valid for one look only, unlike `app.statistics.confidence_sequences`. One value
    gives an interval of length 0, where `scipy.stats.bootstrap` raises ValueError.
    """
    count = len(values)
    weighted = values * weights
    means = np.empty(_RESAMPLES)
    for resample in range(_RESAMPLES):  # one by one, because all together need N x 2000 numbers
        drawn = rng.integers(count, size=count)
        means[resample] = weighted[drawn].sum() / weights[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(weighted.sum() / weights.sum()), (float(low), float(high))
