from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.monitoring.quality import ScoredOutcome, estimate_quality

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRUTH = 0.9
"""The share of predictions that are right."""


def audited(score: float | None, probability: float = 0.5, accepted: bool | None = None) -> ScoredOutcome:
    return ScoredOutcome(NOON, score, "audit", probability, accepted)


def volunteered(score: float | None, accepted: bool | None = None) -> ScoredOutcome:
    return ScoredOutcome(NOON, score, "volunteer", None, accepted)


def biased_outcomes(seed: int, predictions: int = 4000, rate: float = 0.05) -> list[ScoredOutcome]:
    """Return the outcomes of a small audit, and of volunteers who correct half of the other mistakes."""
    random = np.random.default_rng(seed)
    scores = np.where(random.random(predictions) < TRUTH, 1.0, 0.0)
    in_audit = random.random(predictions) < rate
    corrected = (scores < 1) & (random.random(predictions) < 0.5)
    return [
        audited(score, rate) if by_audit else volunteered(score)
        for score, by_audit, by_volunteer in zip(scores.tolist(), in_audit, corrected, strict=True)
        if by_audit or by_volunteer
    ]


def test_the_plain_average_is_biased_if_volunteers_correct_only_mistakes() -> None:
    estimates = [estimate_quality(biased_outcomes(seed), 4000) for seed in range(20)]
    assert all(estimate.plain is not None and estimate.plain < TRUTH - 0.2 for estimate in estimates)
    scores = [estimate.score for estimate in estimates if estimate.score is not None]
    assert np.mean(scores) == pytest.approx(TRUTH, abs=0.02)


def test_the_weighted_interval_covers_the_truth_about_95_times_of_100() -> None:
    covered = 0
    for seed in range(400):
        low, high = estimate_quality(biased_outcomes(seed), 4000).interval()
        covered += low <= TRUTH <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_outcomes_are_weighted_by_their_inverse_selection_probabilities() -> None:
    # Hard predictions, half of which are wrong, are selected ten times as often.
    estimates = []
    for seed in range(50):
        random = np.random.default_rng(seed)
        rates = np.where(random.random(5000) < 0.2, 0.4, 0.04)
        scores = np.where(random.random(5000) < np.where(rates == 0.4, 0.5, 1.0), 1.0, 0.0)
        in_audit = random.random(5000) < rates
        rows = zip(scores[in_audit].tolist(), rates[in_audit].tolist(), strict=True)
        estimate = estimate_quality([audited(*row) for row in rows], 5000)
        assert estimate.effective_size < estimate.labelled
        estimates.append(estimate.score)
    assert np.mean([score for score in estimates if score is not None]) == pytest.approx(0.9, abs=0.01)


def test_outcomes_of_volunteers_are_counted_but_not_part_of_the_estimate() -> None:
    estimate = estimate_quality([audited(1.0), audited(0.5), volunteered(0.0)], 10)
    assert (estimate.score, estimate.labelled) == (0.75, 2)
    assert (estimate.plain, estimate.scored, estimate.coverage) == (0.5, 3, 0.3)


def test_a_rejected_prediction_without_a_correction_scores_0() -> None:
    assert estimate_quality([audited(1.0), audited(None, accepted=False)], 10).score == 0.5


def test_the_share_of_answered_outcomes_shows_an_audit_that_is_half_done() -> None:
    assert estimate_quality([audited(1.0), audited(None)], 100).answered == 0.5


def test_predictions_without_an_outcome_are_unanswered_if_all_are_selected() -> None:
    assert estimate_quality([ScoredOutcome(NOON, 1.0, "all", 1.0)], 4).answered == 0.25


@pytest.mark.parametrize("outcomes", [[], [audited(None)], [volunteered(1.0)], [audited(1.0)]])
def test_a_window_with_fewer_than_two_labels_has_an_infinite_interval(outcomes: Sequence[ScoredOutcome]) -> None:
    assert estimate_quality(outcomes, 10).interval() == (float("-inf"), float("inf"))


def test_a_window_without_predictions_covers_nothing() -> None:
    assert (estimate_quality([], 0).coverage, estimate_quality([], 0).answered) == (0.0, 0.0)


def test_a_score_above_1_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 at most"):
        estimate_quality([audited(1.1)], 10)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([0.01, 0.1, 1.0]), st.sampled_from(["all", "audit"])), min_size=2
    )
)
def test_an_estimate_is_among_its_scores_and_in_its_interval(
    rows: list[tuple[float, float, Literal["all", "audit"]]],
) -> None:
    outcomes = [ScoredOutcome(NOON, score, selection, probability) for score, probability, selection in rows]
    estimate = estimate_quality(outcomes, 1000)
    assert estimate.score is not None
    low, high = estimate.interval()
    scores = [score for score, _, _ in rows]
    assert min(scores) - 1e-9 <= estimate.score <= max(scores) + 1e-9
    assert low <= estimate.score <= high
    assert estimate.effective_size <= len(rows) + 1e-6
