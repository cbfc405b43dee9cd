"""Estimate of the mean score of predictions whose labels are late, from their confidences. Pure.

Each estimator is fitted on labelled predictions, with weights 1 / p, and is applied to the confidences of others. None
detects a change that leaves the confidence as it was. Therefore past estimates are compared with the labels that have
arrived since, and the estimate is reported with that error. Average confidence is used, because it is the most accurate
of the three on the sources of our tasks (`python -m benchmarks.studies.performance_estimation`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from app.statistics.histogram import Histogram
from models.off_policy import Floats, effective_size

MIN_LABELS = 50
"""Effective number of labels below which there is no estimate."""
_RESAMPLES = 200
_LEVEL = 0.95
_QUANTILES = (np.arange(1000) + 0.5) / 1000
"""More confidences than these are represented by their quantiles."""


@dataclass(frozen=True)
class LabelledScores:
    """Predictions with a known score; each array is (labelled,)."""

    confidences: Floats
    scores: Floats
    weights: Floats
    """Inverse of the probability with which each was selected to be labelled."""

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[float, float, float]]) -> "LabelledScores":
        """Return the scores of rows of (confidence, score, selection probability)."""
        confidences, scores, probabilities = np.array(rows, np.float64).reshape(-1, 3).T
        return cls(confidences, scores, 1 / probabilities)

    def resample(self, random: np.random.Generator) -> "LabelledScores":
        """Return a bootstrap sample: as many rows, drawn with replacement."""
        indices = random.integers(0, len(self.scores), len(self.scores))
        return LabelledScores(self.confidences[indices], self.scores[indices], self.weights[indices])


Estimator = Callable[[LabelledScores, Floats], float]
"""Estimates the mean score of predictions from labelled ones and from their confidences."""


def average_confidence(labelled: LabelledScores, confidences: Floats) -> float:
    """Return the mean confidence, recalibrated by isotonic regression of the scores (Zadrozny & Elkan, 2002)."""
    order = np.argsort(labelled.confidences, kind="stable")
    unique_confidences, starts = np.unique(labelled.confidences[order], return_index=True)
    weights = np.add.reduceat(labelled.weights[order], starts)
    scores = np.add.reduceat((labelled.weights * labelled.scores)[order], starts) / weights
    calibrated = optimize.isotonic_regression(scores, weights=weights).x
    return float(np.mean(np.interp(confidences, unique_confidences, calibrated)))


def difference_of_confidences(labelled: LabelledScores, confidences: Floats) -> float:
    """Return the mean labelled score minus the fall of the mean confidence (Guillory et al., ICCV 2021)."""
    baseline = np.average(labelled.confidences, weights=labelled.weights)
    return float(np.average(labelled.scores, weights=labelled.weights) - baseline + np.mean(confidences))


def average_thresholded_confidence(labelled: LabelledScores, confidences: Floats) -> float:
    """Return the share above the threshold at which the labelled share equals their score (Garg et al., ICLR 2022)."""
    order = np.argsort(-labelled.confidences, kind="stable")
    share = np.cumsum(labelled.weights[order]) / np.sum(labelled.weights)
    mean = np.average(labelled.scores, weights=labelled.weights)
    last = min(int(np.searchsorted(share, mean)), len(order) - 1)
    return float(np.mean(confidences >= labelled.confidences[order[last]]))


@dataclass(frozen=True)
class PerformanceEstimate:
    """Estimate of the mean score of predictions whose labels are late."""

    score: float
    lower: float
    upper: float
    """Interval at 95 %. It covers only the chance in the labels of the fit."""
    labelled: float
    """Effective number of labels of the fit."""
    error: float | None = None
    """Mean absolute error of the estimates of past windows; None without any."""
    windows: int = 0
    """Number of past windows in `error`."""


def estimate_performance(labelled: LabelledScores, confidences: Histogram) -> PerformanceEstimate | None:
    """Estimate the mean score of predictions with these confidences; None with too few labels or no predictions."""
    effective = effective_size(labelled.weights)
    if effective < MIN_LABELS - 1e-6 or not confidences.total:
        return None
    few = confidences.total <= len(_QUANTILES)
    values = np.repeat(confidences.values, confidences.counts.astype(int)) if few else confidences.quantiles(_QUANTILES)
    random = np.random.default_rng(0)
    resampled = [average_confidence(labelled.resample(random), values) for _ in range(_RESAMPLES)]
    lower, upper = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return PerformanceEstimate(average_confidence(labelled, values), float(lower), float(upper), effective)
