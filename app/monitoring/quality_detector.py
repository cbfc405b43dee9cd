"""Detection of a lasting fall of the mean score, with evidence that is carried over windows. Pure.

A fall that is too small for one window is found in many. The evidence is an e-detector (Shin, Ramdas & Rinaldo,
"E-detectors: a nonparametric framework for sequential change detection", NEJSDS 2024, the e-SR procedure):

    R_n = (R_n-1 + 1) L_n,  an alarm where the mean of R_n over the stakes is at least 1 / alpha

L_n is an e-value of window n: its mean is at most 1 while the mean score is at least the reference, whatever happened
before. Without a fall R_n - n is a supermartingale, so that the average run length until an alarm is at least 1 / alpha
windows, for any distribution of the scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.monitoring.quality import QualityEstimate
from models.off_policy import Floats

_STAKES = 0.99 * 0.5 ** np.arange(8)
"""Shares of the largest safe bet. Small bets detect small falls of many scores, large bets the other falls."""
_ERROR_MARGIN = 2.0
"""A true score is more than this many standard errors below its estimate in 2 of 100 cases."""


@dataclass(frozen=True)
class QualityReference:
    """The score of a champion at its beginning, with its standard error."""

    score: float
    standard_error: float = 0.0
    labelled: int = 0
    """Labels in it."""

    def tolerated(self, tolerance: float) -> float:
        """Return the least score that is no fall: evidence over many windows would find any error of the reference."""
        return self.score - max(tolerance, _ERROR_MARGIN * self.standard_error)


def pool_reference(windows: Sequence[QualityEstimate]) -> QualityReference | None:
    """Return the mean score of windows; None without labels.

    Its standard error is that of a ratio of sums over clusters (Cochran, "Sampling Techniques", 1977, equation 6.13);
    a cluster is a key in a window. One cluster more, of the largest weight, counts as 1 off, as equal scores of few
    clusters do not show how much others vary (compare the rule of three).
    """
    clusters = [_sum_clusters(window) for window in windows if window.labelled]
    if not clusters:
        return None
    weights, weighted_scores = np.concatenate(clusters, axis=1)
    score = float(weighted_scores.sum() / weights.sum())
    squares = np.sum((weighted_scores - score * weights) ** 2) + weights.max() ** 2
    return QualityReference(score, float(np.sqrt(squares) / weights.sum()), sum(window.labelled for window in windows))


def log_evidence(windows: Sequence[QualityEstimate], tolerated: float, alpha: float) -> float:
    """Return the logarithm of the evidence, after the last of these windows in order of time, for a fall.

    `tolerated` is the least mean score without a fall. After an alarm, at 1 / alpha, the evidence begins anew with the
    first window whose score is not below that.
    """
    wealth, alarmed = _NO_WEALTH, False
    for window in windows:
        if alarmed and window.score is not None and window.score >= tolerated:
            wealth, alarmed = _NO_WEALTH, False
        else:
            wealth = np.logaddexp(wealth, 0.0) + _log_gains(window, tolerated)
            alarmed = _log_mean(wealth) >= -np.log(alpha)
    return _log_mean(wealth)


_NO_WEALTH = np.full(len(_STAKES), -np.inf)


def _log_mean(log_values: Floats) -> float:
    return float(np.logaddexp.reduce(log_values) - np.log(len(log_values)))


def _log_gains(window: QualityEstimate, tolerated: float) -> Floats:
    """Return the logarithms of a window's e-values, one for each stake b.

    Each bets that the mean score is lower: prod over keys k of (1 + b sum_i w_ki (tolerated - s_ki)), after
    Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024. The scores of a key
    may depend on each other. With independent keys the mean is prod(1 + b m_k) <= exp(b sum(m_k)) <= 1, as
    sum(m_k) <= 0 without a fall: the keys need not be equally good.
    """
    if not window.labelled:
        return np.zeros(len(_STAKES))
    weights, weighted_scores = _sum_clusters(window)
    max_bet = 1 / (weights.max() * max(1 - tolerated, 1e-6))
    gains: Floats = np.log1p(_STAKES[:, None] * max_bet * (tolerated * weights - weighted_scores))
    return np.asarray(gains.sum(axis=1))


def _sum_clusters(window: QualityEstimate) -> Floats:
    """Return the sums over each key of the weights, and of the weighted scores (2, keys)."""
    return np.stack([np.bincount(window.keys, values) for values in (window.weights, window.weights * window.scores)])
