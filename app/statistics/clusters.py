"""Means of scores that come in clusters: the scores of one key resemble each other.

If a key always has the same version, the comparison of two versions has as many independent parts as there are keys,
however many scores each has. Model: score = mean of the version + deviation of the key + deviation of the request (a
one-way random-effects model), with variances `between` keys and `within` a key. Keys are assigned at random, so that
under the hypothesis of equal versions the keys of both arms are of one population: `between` is estimated from both
arms together, even if one has a single key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from models.off_policy import Floats

_LEAST_VARIANCE = 1e-12
_LEAST_UNKNOWN = 1e-3
"""A key is never known exactly, whatever its past."""


@dataclass(frozen=True)
class ClusterSums:
    """Scores, summed by cluster. Each array is (clusters,); no count is 0."""

    keys: tuple[str, ...]
    counts: Floats
    sums: Floats
    squares: Floats
    """The sums of the squared scores."""
    spread: Floats
    """The variance of each cluster's deviation, in units of `between`: 1, or less if its past is known."""

    @classmethod
    def of(cls, rows: Sequence[Any]) -> "ClusterSums":
        """Return the sums of rows (key, count, sum, sum of squares)."""
        keys = tuple(row[0] for row in rows)
        counts, sums, squares = np.array([row[1:] for row in rows], np.float64).reshape(-1, 3).T
        return cls(keys, counts, sums, squares, np.ones(len(keys)))

    @property
    def count(self) -> float:
        """The number of scores."""
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """The mean score. There must be a score."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def within(self) -> float:
        """The variance of the scores of one cluster; 0 if each cluster has one score."""
        degrees = float((self.counts - 1).sum())
        deviations = float((self.squares - np.square(self.sums) / self.counts).sum())
        return max(deviations, 0.0) / degrees if degrees else 0.0

    @property
    def weight(self) -> float:
        """The variance of the mean, in units of `between`."""
        return float((self.spread * np.square(self.counts)).sum()) / self.count**2

    def less(self, deviations: Mapping[str, "Deviation"]) -> "ClusterSums":
        """Return the sums of the scores less the known deviation of their key."""
        known = [deviations.get(key, UNKNOWN) for key in self.keys]
        shift, spread = np.array(known, np.float64).reshape(-1, 2).T
        squares = self.squares - 2 * shift * self.sums + np.square(shift) * self.counts
        return ClusterSums(self.keys, self.counts, self.sums - shift * self.counts, squares, spread)


class Deviation(NamedTuple):
    """How far a key's mean lies above the mean of all, as far as is known."""

    value: float
    spread: float
    """The share of its variance that is unknown."""


UNKNOWN = Deviation(0.0, 1.0)


@dataclass(frozen=True)
class MeanDifference:
    """The difference of two mean scores."""

    value: float
    request_variance: float
    """Of `value`, because each arm has some requests only. It falls as scores arrive."""
    key_variance: float
    """Of `value`, because each arm has some keys only. More scores of the same keys don't reduce it."""
    degrees: float
    """The degrees of freedom of the variance."""

    @property
    def standard_error(self) -> float:
        """Of `value`."""
        return float(np.sqrt(self.request_variance + self.key_variance))


def mean_difference(one: ClusterSums, other: ClusterSums, by_cluster: bool, doubt: float) -> MeanDifference:
    """Return the mean of the first less that of the second. Each must have a score.

    `by_cluster`: the arms were assigned by cluster; otherwise by score, and then clusters do not matter (Abadie, Athey,
    Imbens & Wooldridge, "When should you adjust standard errors for clustering?", QJE 2023). `doubt` is a squared
    deviation that is added to those of each arm, as if of one score more: a few equal scores do not show that all are.
    """
    arms = (one, other)
    request_variance = sum(arm.within / arm.count + doubt / arm.count**2 for arm in arms)
    key_variance, degrees = 0.0, one.count + other.count - 2
    if by_cluster:
        degrees = float(len(one.keys) + len(other.keys) - 2)
        key_variance = between_variance(arms) * sum(arm.weight for arm in arms)
    return MeanDifference(one.mean - other.mean, request_variance, key_variance, degrees)


def between_variance(arms: Sequence[ClusterSums]) -> float:
    """Return the variance between the clusters' means within an arm, from all arms; infinite without enough clusters.

    It is the one at which the weighted squared deviations add up to their degrees of freedom (Paule & Mandel, J. Res.
    NBS 1982), so that neither the largest clusters nor the many small ones alone decide; or what the clusters show by
    their weight in the mean, if that is more, so that the largest are not taken to be like the others.
    """
    degrees = sum(len(arm.keys) - 1 for arm in arms)
    if degrees < 1:
        return float("inf")

    def excess(variance: float) -> float:
        return sum(_weighted_deviations(arm, variance) for arm in arms) - degrees

    by_weight = _by_weight(arms)
    most = sum(_plain_deviations(arm) for arm in arms) / degrees
    if most <= _LEAST_VARIANCE or excess(_LEAST_VARIANCE) <= 0:
        return by_weight
    return max(float(brentq(excess, _LEAST_VARIANCE, most * (1 + 1e-9), rtol=1e-6)), by_weight)


def known_deviations(history: ClusterSums) -> dict[str, Deviation]:
    """Return each key's deviation, shrunk to 0 by how uncertain it is (best linear prediction; Robinson, "That BLUP is
    a good thing", Statistical Science 1991).

    Scores less the deviations in a time *before* the assignment have the same difference of means, because that time
    can't know the assignment, and vary less (Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data", WSDM 2013).
    """
    if len(history.keys) < 2:
        return {}
    noise = history.within / history.counts
    unknown = np.maximum(noise / (between_variance([history]) + noise + _LEAST_VARIANCE), _LEAST_UNKNOWN)
    deviations = (1 - unknown) * (history.sums / history.counts - history.mean)
    return {
        key: Deviation(*known) for key, *known in zip(history.keys, deviations.tolist(), unknown.tolist(), strict=True)
    }


def _weighted_deviations(arm: ClusterSums, between: float) -> float:
    weights = 1 / (between * arm.spread + arm.within / arm.counts)
    means = arm.sums / arm.counts
    return float((weights * np.square(means - np.average(means, weights=weights))).sum())


def _plain_deviations(arm: ClusterSums) -> float:
    means = arm.sums / arm.counts
    weights = 1 / arm.spread
    return float((weights * np.square(means - np.average(means, weights=weights))).sum())


def _by_weight(arms: Sequence[ClusterSums]) -> float:
    """Return the variance by which the squared deviations of the sums are as large as they are; 0 if by none."""
    surplus = expected = 0.0
    for arm in arms:
        deviations = arm.sums - arm.mean * arm.counts
        left = 1 - arm.counts / arm.count
        surplus += float((np.square(deviations) - left * arm.within * arm.counts).sum())
        others = float((arm.spread * np.square(arm.counts)).sum()) - arm.spread * np.square(arm.counts)
        expected += float(
            (np.square(left * arm.counts) * arm.spread + np.square(arm.counts / arm.count) * others).sum()
        )
    return max(surplus, 0.0) / expected if expected else 0.0
