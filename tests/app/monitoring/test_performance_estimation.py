import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.monitoring.performance_estimation import (
    MIN_LABELS,
    LabelledScores,
    average_confidence,
    average_thresholded_confidence,
    difference_of_confidences,
    estimate_performance,
)
from models.off_policy import Floats

ESTIMATORS = [average_confidence, average_thresholded_confidence, difference_of_confidences]


def answered(confidences: Floats, seed: int = 0) -> LabelledScores:
    """Of a model that is right half as often as it says."""
    right = np.random.default_rng(seed).random(len(confidences)) < confidences / 2
    return LabelledScores(confidences, np.where(right, 1.0, 0.0), np.ones(len(confidences)))


def sure(low: float, count: int = 2000, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).uniform(low, 1, count)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_of_confidences_as_usual_the_usual_score_is_expected(estimator: object) -> None:
    assert callable(estimator)
    labelled = answered(sure(0.2))
    assert estimator(labelled, labelled.confidences) == pytest.approx(np.mean(labelled.scores), abs=1e-3)


def test_confidences_that_say_too_much_are_recalibrated() -> None:
    found = estimate_performance(answered(sure(0.0)), sure(0.5, seed=2))
    assert found is not None
    assert found.score == pytest.approx(0.375, abs=0.04)
    assert found.lower < 0.375 < found.upper


def test_what_was_selected_seldom_weighs_more() -> None:
    confidences, scores = np.full(100, 0.5), np.repeat([0.0, 1.0], 50)
    labelled = LabelledScores(confidences, scores, np.repeat([1.0, 3.0], 50))
    assert average_confidence(labelled, np.array([0.5])) == pytest.approx(0.75)


@pytest.mark.parametrize(("labels", "predictions"), [(MIN_LABELS - 1, 10), (MIN_LABELS, 0)])
def test_of_too_little_nothing_is_said(labels: int, predictions: int) -> None:
    assert estimate_performance(answered(sure(0.2, labels)), sure(0.2, predictions)) is None
    assert estimate_performance(answered(sure(0.2, MIN_LABELS)), sure(0.2, 1)) is not None


def test_many_predictions_are_as_well_told_by_some() -> None:
    labelled, many = answered(sure(0.0)), sure(0.3, 50_000)
    found = estimate_performance(labelled, many)
    assert found is not None
    assert found.score == pytest.approx(average_confidence(labelled, many), abs=1e-3)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.01, 0.5, 1.0])), min_size=1))
def test_what_is_expected_is_among_the_scores_and_grows_with_confidence(rows: list[tuple[float, float, float]]) -> None:
    labelled = LabelledScores.from_rows(rows)
    low, high = (average_confidence(labelled, np.array([confidence])) for confidence in (0.2, 0.8))
    assert min(labelled.scores) - 1e-9 <= low <= high + 1e-9 <= max(labelled.scores) + 2e-9
