"""Calibration of drift detection on the past: successive events depend on each other. Pure.

Sensors drift, users send several requests in a row, and days have a pattern. Then the mean of n successive events
varies more than that of n independent ones, and thresholds for independent events are exceeded without any change.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from models.off_policy import Floats

_MANY_BATCHES = 200
"""With so many batches, the ratio is taken as it is; with fewer only if it is significantly above 1."""
_SIGNIFICANCE, _CONFIDENCE = 0.999, 0.95
_MIN_MAXIMA = 10
"""With fewer maxima their distribution is unknown."""
_NORMAL_LEVEL = 1.2
"""The level of independent events is 1.06 with a deviation of 0.06 (measured): normal maxima come near to Gumbel's
distribution for very long stretches only."""
_MOMENTS_VARIANCE = 1.1
"""Variance of the moments' estimate of Gumbel's scale, in scale^2 / N."""


def variance_inflation(stretches: Sequence[Floats], lengths: Floats, variance: Floats) -> Floats:
    """Return by how much dependence multiplies the variance of the mean of n successive events (tests, lengths).

    `stretches` are the scores of successive events (tests, N) in stretches of the past; `variance` is that of
    single scores (tests, 1). The method is that of batch means (Alexopoulos & Seila, "Output data analysis", 1998):
    n times the variance of the means of separate batches of n events, over the variance of single events. A ratio that
    is significantly above 1, by the chi-squared distribution, is replaced by its upper confidence limit. Long batches
    have no smaller ratio than short ones: there are few of them, or none.
    """
    ratios = np.ones((len(variance), len(lengths)))
    for index, length in enumerate(lengths.astype(int)):
        batches = [_batch_means(stretch, length) for stretch in stretches if stretch.shape[1] >= length]
        means = np.concatenate(batches, axis=1) if batches else np.empty((len(variance), 0))
        freedom = means.shape[1] - 1
        if freedom < 1:
            break
        centre = means.mean(axis=1, keepdims=True)
        squares = length * np.sum((means - centre) ** 2, axis=1) / np.maximum(variance[:, 0], 1e-12)
        significant = squares > special.chdtri(freedom, 1 - _SIGNIFICANCE)
        limit = squares / special.chdtri(freedom, _CONFIDENCE)
        ratio = squares / freedom if freedom >= _MANY_BATCHES else np.ones(len(variance))
        ratios[:, index] = np.where(significant, limit, ratio)
    return np.maximum.accumulate(np.maximum(ratios, 1.0), axis=1)


def maxima_factor(stretches: Sequence[Floats], lengths: Floats, falls: Floats, rises: Floats, rate: float) -> float:
    """Return the factor of thresholds that the statistic exceeds at this rate for each event.

    The statistic of an event is the mean of the newest n scores, its thresholds are `falls` and `rises` (tests,
    lengths). The maximum in each stretch of the past is taken over all events, lengths and tests; maxima have Gumbel's
    distribution, fitted by moments (Coles, "An Introduction to Statistical Modeling of Extreme Values", 2001, chapter
    3). The tails of means of dependent events may be heavier than the normal ones: a whole batch may be one user's. The
    factor is the level of the maxima, plus its standard error; 1 if the level is not above that of normal maxima, or
    there are too few.
    """
    maxima = [_max_ratio(scores, lengths, falls, rises) for scores in stretches if scores.shape[1] >= lengths[0]]
    if len(maxima) < _MIN_MAXIMA:
        return 1.0
    scale = np.std(maxima, ddof=1) * np.sqrt(6) / np.pi
    events = np.mean([scores.shape[1] for scores in stretches])
    reach = -np.log(-np.log1p(-rate * events)) - np.euler_gamma
    level = np.mean(maxima) + reach * scale
    standard_error = reach * scale * np.sqrt(_MOMENTS_VARIANCE / len(maxima))
    return float(level + standard_error) if level > _NORMAL_LEVEL else 1.0


def _max_ratio(scores: Floats, lengths: Floats, falls: Floats, rises: Floats) -> float:
    sums = np.concatenate([np.zeros((len(scores), 1)), np.cumsum(scores, axis=1)], axis=1)
    ratios = [
        np.max(np.where(means < 0, -means / falls[:, [index]], means / rises[:, [index]]))
        for index, length in enumerate(lengths[lengths <= scores.shape[1]])
        for means in [(sums[:, length:] - sums[:, :-length]) / length]
    ]
    return float(max(ratios))


def _batch_means(stretch: Floats, length: int) -> Floats:
    """Return the means of the newest separate batches of a stretch (tests, batches)."""
    tests, events = stretch.shape
    count = events // length
    batches: Floats = stretch[:, events - count * length :].reshape(tests, count, length)
    return np.asarray(batches.mean(axis=2))
