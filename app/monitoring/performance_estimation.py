"""The mean score of predictions whose labels are late, from how sure the model is of them. Pure.

Each estimator learns from labelled predictions, by weights 1 / p, and says something of others by their confidences
alone. None sees a change that leaves the model as sure as before: what it said of windows whose labels have come since
is held against these, and that error belongs beside it. Of the three, average confidence is used: on our tasks' sources
it is the nearest to the truth (`python -m benchmarks.studies.performance_estimation`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from models.off_policy import Floats, effective_size

MIN_LABELS = 50
"""Labels, of equal weight, without which nothing is said."""
_RESAMPLES = 200
_LEVEL = 0.95
_QUANTILES = (np.arange(1000) + 0.5) / 1000
"""Of more confidences than these, such quantiles stand for all."""


@dataclass(frozen=True)
class LabelledScores:
    """Predictions of which it is known what they score, each array (labelled,)."""

    confidences: Floats
    scores: Floats
    weights: Floats
    """The inverse of the probability with which each was selected to be labelled."""

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[float, float, float]]) -> "LabelledScores":
        """By rows of confidence, score and selection probability."""
        confidences, scores, probabilities = np.array(rows, np.float64).reshape(-1, 3).T
        return cls(confidences, scores, 1 / probabilities)

    def resample(self, random: np.random.Generator) -> "LabelledScores":
        """As many of them, drawn with replacement."""
        chosen = random.integers(0, len(self.scores), len(self.scores))
        return LabelledScores(self.confidences[chosen], self.scores[chosen], self.weights[chosen])


Estimator = Callable[[LabelledScores, Floats], float]
"""The mean score of predictions, by what is labelled and by their confidences."""


def average_confidence(labelled: LabelledScores, confidences: Floats) -> float:
    """The mean of the confidences, recalibrated by isotonic regression of scores on them (Zadrozny & Elkan, 2002)."""
    order = np.argsort(labelled.confidences, kind="stable")
    places, firsts = np.unique(labelled.confidences[order], return_index=True)
    weights = np.add.reduceat(labelled.weights[order], firsts)
    scores = np.add.reduceat((labelled.weights * labelled.scores)[order], firsts) / weights
    levels = optimize.isotonic_regression(scores, weights=weights).x
    return float(np.mean(np.interp(confidences, places, levels)))


def difference_of_confidences(labelled: LabelledScores, confidences: Floats) -> float:
    """The mean labelled score, less what the mean confidence has fallen by (Guillory et al., ICCV 2021)."""
    usual = np.average(labelled.confidences, weights=labelled.weights)
    return float(np.average(labelled.scores, weights=labelled.weights) - usual + np.mean(confidences))


def average_thresholded_confidence(labelled: LabelledScores, confidences: Floats) -> float:
    """The share above a threshold; of the labelled, as many are above it as the mean score (Garg et al., ICLR 2022)."""
    order = np.argsort(-labelled.confidences, kind="stable")
    share = np.cumsum(labelled.weights[order]) / np.sum(labelled.weights)
    mean = np.average(labelled.scores, weights=labelled.weights)
    last = min(int(np.searchsorted(share, mean)), len(order) - 1)
    return float(np.mean(confidences >= labelled.confidences[order[last]]))


@dataclass(frozen=True)
class PerformanceEstimate:
    """What predictions whose labels are late are expected to score."""

    score: float
    lower: float
    upper: float
    """The interval, at 95 %: what chance makes of the labels that were learned from, and nothing else."""
    labelled: float
    """How many labels of equal weight those are."""
    error: float | None = None
    """The mean absolute difference, in past windows, of what was expected and what labels said; None without any."""
    windows: int = 0
    """How many past windows that is of."""


def estimate_performance(labelled: LabelledScores, confidences: Floats) -> PerformanceEstimate | None:
    """What predictions of these confidences score in the mean; None where too little is labelled, or there are none."""
    effective = effective_size(labelled.weights)
    if effective < MIN_LABELS - 1e-6 or not len(confidences):
        return None
    said = np.quantile(confidences, _QUANTILES) if len(confidences) > len(_QUANTILES) else confidences
    random = np.random.default_rng(0)
    resampled = [average_confidence(labelled.resample(random), said) for _ in range(_RESAMPLES)]
    lower, upper = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return PerformanceEstimate(average_confidence(labelled, said), float(lower), float(upper), effective)
