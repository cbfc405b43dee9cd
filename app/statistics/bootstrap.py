"""The bootstrap: how sure a mean is, by what it would have been of other samples like this one."""

import numpy as np

from app.statistics.confidence_sequences import Interval
from models.off_policy import Floats

_RESAMPLES = 2000


def weighted_mean(values: Floats, weights: Floats, level: float, rng: np.random.Generator) -> tuple[float, Interval]:
    """sum(w x) / sum(w) of values (N,) with weights (N,) above 0, and its two-sided percentile interval.

    A value is drawn together with its weight, as it was when it was selected (Efron & Tibshirani, "An Introduction to
    the Bootstrap", 1993, chapters 6 and 13). For one look only, unlike `app.statistics.confidence_sequences`.
    """
    count = len(values)
    weighted = values * weights
    means = np.empty(_RESAMPLES)
    for at in range(_RESAMPLES):  # one by one: all at once would take N x 2000 numbers
        drawn = rng.integers(count, size=count)
        means[at] = weighted[drawn].sum() / weights[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(weighted.sum() / weights.sum()), (float(low), float(high))
