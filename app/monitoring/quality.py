"""The quality of a window of outcomes, by inverse selection probability. Pure.

People correct what is wrong, so the plain average over all that was labelled lies, mostly downwards. Of outcomes whose
selection is `all` or `audit` it is known with which probability p they were to be looked at; weighted by 1 / p they
stand for all predictions of the window (Hajek, 1971: the self-normalised Horvitz-Thompson estimate).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from scipy import special

from models.off_policy import Floats, effective_size, snips

_BETS = 0.99 * 0.5 ** np.arange(8)
"""Shares of the largest bet that can't be ruined: small ones find small falls of many scores, large ones the rest."""


@dataclass(frozen=True)
class ScoredOutcome:
    """What `OutcomeRecorded` says of a prediction's quality. A task that is judged by rewards gives them as scores."""

    time: datetime
    """When it was predicted."""
    score: float | None
    selection: Literal["all", "audit", "volunteer"]
    selection_probability: float | None
    accepted: bool | None = None


@dataclass(frozen=True)
class QualityEstimate:
    """What a window's outcomes say of all its predictions."""

    predictions: int
    """How many predictions the window has."""
    scored: int
    """How many of its outcomes have a score, however they were selected."""
    plain: float | None
    """Their average; None without any. It is biased, and here to be compared with."""
    labelled: int
    """How many with a score were selected with a known probability: the estimate is theirs alone."""
    answered: float
    """The share of those so selected that has a score. An audit that is half done is biased as well: what volunteers
    corrected is answered first."""
    effective_size: float
    """How many outcomes of equal weight they are worth: sum(w)^2 / sum(w^2) (Kish, 1965)."""
    score: float | None
    """The estimate: sum(w s) / sum(w) with w = 1 / p; None without any."""
    standard_error: float
    """Of the estimate, by the delta method; infinite for fewer than two."""
    scores: Floats = field(compare=False, repr=False)
    """Those that were selected with a known probability (labelled,)."""
    weights: Floats = field(compare=False, repr=False)
    """Their weights, 1 / p (labelled,)."""

    @property
    def coverage(self) -> float:
        """The share of the window's predictions that has a score."""
        return self.scored / self.predictions if self.predictions else 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided confidence interval, by Student's t with `effective` - 1 degrees of freedom.

        It is to be read, not to be tested with: it is right in the middle, and wrong far out where scores are skewed.
        Infinite for fewer than two; of no width where all scores are equal.
        """
        if self.score is None or self.effective_size <= 1 or not np.isfinite(self.standard_error):
            return float("-inf"), float("inf")
        reach = float(special.stdtrit(self.effective_size - 1, (1 + level) / 2)) * self.standard_error
        return self.score - reach, self.score + reach

    def p_value(self, reference: float) -> float:
        """How probable a window as bad as this can be at most, if the mean score of all predictions is `reference`.

        It holds for any number of independent scores, however they are distributed up to 1; where one in fifty is
        rewarded, Student's t has a hundred times the false alarms that it says. By betting that the mean is lower, with
        stakes b: 1 / mean over b of prod(1 + b w (reference - s)) (Waudby-Smith & Ramdas, JRSS B 2024).
        """
        if not len(self.scores):
            return 1.0
        largest = 1 / (float(np.max(self.weights)) * max(1 - reference, 1e-6))
        bets = _BETS[:, None] * largest * self.weights
        gains = np.sum(np.log1p(bets * (reference - self.scores)), axis=1)
        return float(min(1.0, np.exp(np.log(len(_BETS)) - special.logsumexp(gains))))


def estimate_quality(outcomes: Sequence[ScoredOutcome], predictions: int) -> QualityEstimate:
    """The quality of a window that has so many predictions; each of them has one outcome here, or none.

    What was said to be wrong, with no word of what would be right, scores 0: to leave it out would leave out nothing
    but mistakes. Raises ValueError for a score above 1.
    """
    scores = [(one, score) for one in outcomes if (score := _score(one)) is not None]
    known = [(score, one.selection_probability) for one, score in scores if one.selection_probability is not None]
    values = np.array([score for score, _ in known], np.float64)
    weights = 1 / np.array([probability for _, probability in known], np.float64)
    if np.any(values > 1):
        raise ValueError("a score is 1 at most")
    # Of an audit each prediction that was drawn has an outcome; where all are looked at, those answered alone have.
    everything = any(one.selection == "all" for one in outcomes)
    selected = predictions if everything else sum(one.selection_probability is not None for one in outcomes)
    estimate = snips(values, weights) if known else None
    return QualityEstimate(
        predictions=predictions,
        scored=len(scores),
        plain=float(np.mean([score for _, score in scores])) if scores else None,
        labelled=len(known),
        answered=len(known) / selected if selected else 0.0,
        effective_size=effective_size(weights),
        score=None if estimate is None else estimate.value,
        standard_error=float("inf") if estimate is None else estimate.standard_error,
        scores=values,
        weights=weights,
    )


def _score(outcome: ScoredOutcome) -> float | None:
    return 0.0 if outcome.score is None and outcome.accepted is False else outcome.score
