"""Quality of a window of outcomes, weighted by inverse selection probability. Pure.

People mostly correct mistakes, so the plain average of all labelled predictions is biased, mostly downwards. For
outcomes with the selection `all` or `audit`, the probability p of their selection is known. Weighted by 1 / p, they
represent all predictions of the window (Hajek, 1971: the self-normalised Horvitz-Thompson estimate).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from models.off_policy import Floats, effective_size, snips


@dataclass(frozen=True)
class ScoredOutcome:
    """Score of a prediction from `OutcomeRecorded`. For a task with rewards, the reward is the score."""

    time: datetime
    """Time of the prediction."""
    score: float | None
    selection: Literal["all", "audit", "volunteer"]
    selection_probability: float | None
    accepted: bool | None = None
    counts: bool = True
    """Whether the audit asked for its score. What only volunteers score is not an answer of the audit."""
    key: str | None = None
    """The subject of the request: scores with one key depend on each other. None is a key of its own."""


@dataclass(frozen=True)
class QualityEstimate:
    """Estimate of the mean score of all predictions of a window."""

    predictions: int
    """Number of predictions of the window."""
    scored: int
    """Number of outcomes with a score, however they were selected."""
    plain: float | None
    """Average of all scores; None without any. It is biased, for comparison only."""
    labelled: int
    """Number of outcomes with a score and a known selection probability: only these enter the estimate."""
    answered: float
    """Share of the selected predictions that have a score. A half-finished audit is biased as well, because predictions
    that volunteers corrected are answered first."""
    effective_size: float
    """Equivalent number of outcomes of equal weight: sum(w)^2 / sum(w^2) (Kish, 1965)."""
    score: float | None
    """The estimate: sum(w s) / sum(w) with w = 1 / p; None without labels."""
    standard_error: float
    """Standard error of the estimate, by the delta method; infinite for fewer than two labels."""
    scores: Floats = field(compare=False, repr=False)
    """Scores with a known selection probability (labelled,)."""
    weights: Floats = field(compare=False, repr=False)
    """Weights of `scores`, 1 / p (labelled,)."""
    keys: NDArray[np.intp] = field(compare=False, repr=False)
    """Number of the key of each of `scores` (labelled,)."""
    selected: int = 0
    """Number of the window's selected predictions."""

    @property
    def coverage(self) -> float:
        """Share of the window's predictions that have a score."""
        return self.scored / self.predictions if self.predictions else 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval, by Student's t with `effective_size` - 1 degrees of freedom.

        For reports, not for tests: in the tails it is wrong if scores are skewed. Infinite for fewer than two labels;
        of width 0 if all scores are equal.
        """
        if self.score is None or self.effective_size <= 1 or not np.isfinite(self.standard_error):
            return float("-inf"), float("inf")
        margin = float(special.stdtrit(self.effective_size - 1, (1 + level) / 2)) * self.standard_error
        return self.score - margin, self.score + margin


def estimate_quality(outcomes: Sequence[ScoredOutcome], predictions: int) -> QualityEstimate:
    """Estimate the quality of a window with so many predictions, each with one outcome or none.

    A rejected prediction without a correction scores 0: leaving it out would leave out mistakes only. Raises ValueError
    for a score above 1.
    """
    scored = [(outcome, score) for outcome in outcomes if (score := _score(outcome)) is not None]
    labelled = [
        (score, outcome.selection_probability, outcome.key)
        for outcome, score in scored
        if outcome.selection_probability is not None and outcome.counts
    ]
    scores = np.array([score for score, _, _ in labelled], np.float64)
    weights = 1 / np.array([probability for _, probability, _ in labelled], np.float64)
    if np.any(scores > 1):
        raise ValueError("a score is 1 at most")
    # In an audit each selected prediction has an outcome; if all are selected, only the answered ones have.
    all_selected = any(outcome.selection == "all" for outcome in outcomes)
    selected = predictions if all_selected else sum(outcome.selection_probability is not None for outcome in outcomes)
    estimate = snips(scores, weights) if labelled else None
    return QualityEstimate(
        predictions=predictions,
        scored=len(scored),
        plain=float(np.mean([score for _, score in scored])) if scored else None,
        labelled=len(labelled),
        answered=len(labelled) / selected if selected else 0.0,
        effective_size=effective_size(weights),
        score=None if estimate is None else estimate.value,
        standard_error=float("inf") if estimate is None else estimate.standard_error,
        scores=scores,
        weights=weights,
        keys=_number_keys([key for _, _, key in labelled]),
        selected=selected,
    )


def _number_keys(keys: Sequence[str | None]) -> NDArray[np.intp]:
    numbers = dict[str | int, int]()
    return np.array(
        [numbers.setdefault(index if key is None else key, len(numbers)) for index, key in enumerate(keys)], np.intp
    )


def _score(outcome: ScoredOutcome) -> float | None:
    return 0.0 if outcome.score is None and outcome.accepted is False else outcome.score
