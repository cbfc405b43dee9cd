"""Confidence sequences: intervals that are valid after every event, whenever one decides to look.

An ordinary interval at level 1 - alpha misses the truth with probability alpha at one look planned in advance. A
confidence sequence misses it with probability alpha at *any* of its looks, however many there are and whatever causes
them. These intervals are not intersected with earlier ones: they cover the average over the time so far, so that a
drift shared by both arms of a comparison does not separate them.
"""

from bisect import bisect_left
from math import inf, lgamma, log, log1p, pi, sqrt

import numpy as np

from models.off_policy import Floats, Places

Interval = tuple[float, float]

_MAX_BET = 0.5
"""Waudby-Smith & Ramdas use 1/2 or 3/4. It must be below 1, where psi is infinite."""
_BISECTIONS = 30
"""These give a rate within 1e-9."""


def mean_interval(values: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Return the lower and upper ends (N,) for the mean of values (N,) in [0, 1], after each value in their order.

    The predictable plug-in empirical-Bernstein confidence sequence (Waudby-Smith & Ramdas, "Estimating means of bounded
    random variables by betting", JRSS B 2024, theorem 2):

        sum(bet_i x_i) / sum(bet_i) +- (log(2 / alpha) + sum(v_i psi(bet_i))) / sum(bet_i),  v_i = 4 (x_i - mean_i-1)^2

    A bet may depend only on earlier values. Any such bets are valid; these give narrow intervals for small variances.
    """
    count = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (count + 1)
    variances = (0.25 + np.cumsum(np.square(values - means))) / (count + 1)
    means_before = np.concatenate(([0.5], means))[:-1]
    variances_before = np.concatenate(([0.25], variances))[:-1]
    evidence = log(2 / alpha)
    bets = np.minimum(np.sqrt(2 * evidence / (variances_before * count * np.log1p(count))), _MAX_BET)
    psi = (-np.log1p(-bets) - bets) / 4
    total = np.cumsum(bets)
    centre = np.cumsum(bets * values) / total
    reach = (evidence + np.cumsum(4 * np.square(values - means_before) * psi)) / total
    return np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)


def rate_interval(hits: int, count: int, alpha: float) -> Interval:
    """Return the interval of the rate of hits among `count` independent events, in any order.

    It has the rates against which a mixture of all rates, by Jeffreys' prior, has a likelihood ratio below 1 / alpha.
    That ratio is a martingale under the true rate (Robbins, 1970; Ville's inequality).
    """
    refuted = log(1 / alpha)
    observed = hits / count if count else 0.5

    def end(outside: float) -> float:
        inside = observed
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            if _log_likelihood_ratio(hits, count, middle) < refuted:
                inside = middle
            else:
                outside = middle
        return outside

    return end(0.0) if hits else 0.0, end(1.0) if hits < count else 1.0


def asymptotic_reach(standard_error: float, alpha: float, best_error: float) -> float:
    """Return how far the interval of a mean reaches on each side of it, by its standard error so far.

    The asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit
    theory and asymptotic confidence sequences", Annals of Statistics 2024, theorem 2.2), which is for means whose
    standard error falls below any bound, such as of scores with unknown variance:

        standard_error * sqrt(2 (1 + 1 / n) (log(n + 1) / 2 + log(1 / alpha))),  n = r (best_error / standard_error)^2

    It is the narrowest, compared with the standard error, near `best_error`, by r = -2 log(alpha) + log(-2 log(alpha))
    + 1 (their appendix B.2). `best_error` must not depend on the data.
    """
    if standard_error in (0.0, inf):
        return standard_error
    evidence = -log(alpha)
    time = (2 * evidence + log(2 * evidence) + 1) * (best_error / standard_error) ** 2
    return standard_error * sqrt(2 * (1 + 1 / time) * (log1p(time) / 2 + evidence))


def quantile_interval(values: Floats, level: float, alpha: float, counts: Floats | Places | None = None) -> Interval:
    """Return the interval of the quantile at `level` of independent values (N,), infinite without enough values.

    `counts` (N,) are how often there is each value; by default once.

    Values lie below the quantile at the rate `level`. The counts that `rate_interval` would not refute give the order
    statistics at both ends (as in Howard & Ramdas, "Sequential estimation of quantiles", Bernoulli 2022).
    """
    order = np.argsort(values)
    ordered, up_to = values[order], np.cumsum(np.ones(len(values)) if counts is None else counts[order])
    count, refuted = int(up_to[-1]) if len(values) else 0, log(1 / alpha)

    def ranked(rank: int) -> float:
        return float(ordered[np.searchsorted(up_to, rank, side="right")])

    likely = int(count * level)
    least = bisect_left(range(likely), True, key=lambda below: _log_likelihood_ratio(below, count, level) < refuted)
    beyond = bisect_left(
        range(likely + 1, count + 1), True, key=lambda below: _log_likelihood_ratio(below, count, level) >= refuted
    )
    most = likely + beyond
    return ranked(least - 1) if least else -inf, ranked(most) if most < count else inf


def difference_interval(one: Interval, other: Interval) -> Interval:
    """Return the interval of the first less the second: at level 1 - alpha if both are at 1 - alpha / 2."""
    return one[0] - other[1], one[1] - other[0]


def _log_likelihood_ratio(hits: int, count: int, rate: float) -> float:
    """Return the logarithm of the mixture's likelihood ratio against a rate in (0, 1)."""
    mixture = lgamma(hits + 0.5) + lgamma(count - hits + 0.5) - lgamma(count + 1) - log(pi)
    return mixture - hits * log(rate) - (count - hits) * log1p(-rate)
