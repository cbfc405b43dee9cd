from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRUTH = 0.9
"""The share of predictions that is right."""


def audited(score: float | None, probability: float = 0.5, accepted: bool | None = None) -> ScoredOutcome:
    return ScoredOutcome(NOON, score, "audit", probability, accepted)


def corrected(score: float | None, accepted: bool | None = None) -> ScoredOutcome:
    return ScoredOutcome(NOON, score, "volunteer", None, accepted)


def biased(seed: int, predictions: int = 4000, rate: float = 0.05) -> list[ScoredOutcome]:
    """An audit of a few, and people who correct half of the mistakes that it doesn't look at."""
    random = np.random.default_rng(seed)
    scores = np.where(random.random(predictions) < TRUTH, 1.0, 0.0)
    drawn = random.random(predictions) < rate
    said = (scores < 1) & (random.random(predictions) < 0.5)
    return [
        audited(score, rate) if by_audit else corrected(score)
        for score, by_audit, by_people in zip(scores.tolist(), drawn, said, strict=True)
        if by_audit or by_people
    ]


def test_where_people_correct_mistakes_alone_the_plain_average_is_far_off() -> None:
    found = [estimate_quality(biased(seed), 4000) for seed in range(20)]
    assert all(one.plain is not None and one.plain < TRUTH - 0.2 for one in found)
    assert np.mean([one.score for one in found if one.score is not None]) == pytest.approx(TRUTH, abs=0.02)


def test_the_weighted_interval_has_the_truth_in_it_about_95_times_of_100() -> None:
    inside = 0
    for seed in range(400):
        low, high = estimate_quality(biased(seed), 4000).interval()
        inside += low <= TRUTH <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_outcomes_that_were_selected_with_different_probabilities_weigh_what_they_stand_for() -> None:
    # Of hard predictions, half of which are wrong, ten times as many are looked at.
    estimates = []
    for seed in range(50):
        random = np.random.default_rng(seed)
        rates = np.where(random.random(5000) < 0.2, 0.4, 0.04)
        scores = np.where(random.random(5000) < np.where(rates == 0.4, 0.5, 1.0), 1.0, 0.0)
        drawn = random.random(5000) < rates
        found = estimate_quality(
            [audited(*one) for one in zip(scores[drawn].tolist(), rates[drawn].tolist(), strict=True)], 5000
        )
        assert found.effective_size < found.labelled
        estimates.append(found.score)
    assert np.mean([one for one in estimates if one is not None]) == pytest.approx(0.9, abs=0.01)


def test_volunteers_are_counted_but_not_believed() -> None:
    found = estimate_quality([audited(1.0), audited(0.5), corrected(0.0)], 10)
    assert (found.score, found.labelled) == (0.75, 2)
    assert (found.plain, found.scored, found.coverage) == (0.5, 3, 0.3)


def test_what_is_said_to_be_wrong_without_a_correction_scores_nothing() -> None:
    assert estimate_quality([audited(1.0), audited(None, accepted=False)], 10).score == 0.5


def test_an_audit_that_is_half_done_says_so() -> None:
    assert estimate_quality([audited(1.0), audited(None)], 100).answered == 0.5


def test_where_all_are_judged_those_without_an_outcome_are_unanswered() -> None:
    assert estimate_quality([ScoredOutcome(NOON, 1.0, "all", 1.0)], 4).answered == 0.25


@pytest.mark.parametrize("outcomes", [[], [audited(None)], [corrected(1.0)], [audited(1.0)]])
def test_a_window_that_says_nothing_has_no_bounds(outcomes: Sequence[ScoredOutcome]) -> None:
    assert estimate_quality(outcomes, 10).interval() == (float("-inf"), float("inf"))


def test_a_window_without_predictions_covers_nothing() -> None:
    assert (estimate_quality([], 0).coverage, estimate_quality([], 0).answered) == (0.0, 0.0)


def rewarded(rate: float, seed: int, labelled: int = 400) -> QualityEstimate:
    rewards = np.where(np.random.default_rng(seed).random(labelled) < rate, 1.0, 0.0)
    return estimate_quality([ScoredOutcome(NOON, reward, "all", 1.0) for reward in rewards.tolist()], labelled)


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98])
def test_however_scores_are_skewed_no_more_windows_seem_bad_by_chance_than_is_said(rate: float) -> None:
    windows = [rewarded(rate, seed) for seed in range(1000)]
    assert np.mean([one.p_value(rate) <= 0.02 for one in windows]) <= 0.02


def test_students_interval_has_far_more_than_its_one_in_a_thousand() -> None:
    assert np.mean([rewarded(0.02, seed).interval(0.998)[1] < 0.02 for seed in range(1000)]) > 0.005


def test_a_fall_is_found_in_weighted_windows_as_well() -> None:
    found = estimate_quality(biased(0, 20_000), 20_000)
    assert found.p_value(TRUTH) > 0.01
    assert found.p_value(TRUTH + 0.05) < 1e-4


def test_no_score_is_better_than_perfect() -> None:
    with pytest.raises(ValueError, match="1 at most"):
        estimate_quality([audited(1.1)], 10)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([0.01, 0.1, 1.0]), st.sampled_from(["all", "audit"])), min_size=2
    )
)
def test_an_estimate_is_among_its_scores_and_in_its_interval(
    found: list[tuple[float, float, Literal["all", "audit"]]],
) -> None:
    judged = estimate_quality([ScoredOutcome(NOON, score, how, rate) for score, rate, how in found], 1000)
    assert judged.score is not None
    low, high = judged.interval()
    scores = [score for score, _, _ in found]
    assert min(scores) - 1e-9 <= judged.score <= max(scores) + 1e-9
    assert low <= judged.score <= high
    assert judged.effective_size <= len(found) + 1e-6
    assert 0 < judged.p_value(1.0) <= judged.p_value(0.5) <= judged.p_value(0.0) == pytest.approx(1.0)
