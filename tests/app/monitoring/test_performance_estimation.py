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
from app.statistics.histogram import Histogram
from models.off_policy import Floats

ESTIMATORS = [average_confidence, average_thresholded_confidence, difference_of_confidences]


def overconfident_scores(confidences: Floats, seed: int = 0) -> LabelledScores:
    """Return the scores of a model that is right half as often as its confidence."""
    right = np.random.default_rng(seed).random(len(confidences)) < confidences / 2
    return LabelledScores(confidences, np.where(right, 1.0, 0.0), np.ones(len(confidences)))


counted = Histogram.of


def draw_confidences(low: float, count: int = 2000, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).uniform(low, 1, count)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unchanged_confidences_give_the_labelled_mean_score(estimator: object) -> None:
    assert callable(estimator)
    labelled = overconfident_scores(draw_confidences(0.2))
    assert estimator(labelled, labelled.confidences) == pytest.approx(np.mean(labelled.scores), abs=1e-3)


def test_overconfident_predictions_are_recalibrated() -> None:
    estimate = estimate_performance(overconfident_scores(draw_confidences(0.0)), counted(draw_confidences(0.5, seed=2)))
    assert estimate is not None
    assert estimate.score == pytest.approx(0.375, abs=0.04)
    assert estimate.lower < 0.375 < estimate.upper


def test_a_smaller_selection_probability_weighs_more() -> None:
    confidences, scores = np.full(100, 0.5), np.repeat([0.0, 1.0], 50)
    labelled = LabelledScores(confidences, scores, np.repeat([1.0, 3.0], 50))
    assert average_confidence(labelled, np.array([0.5])) == pytest.approx(0.75)


@pytest.mark.parametrize(("labels", "predictions"), [(MIN_LABELS - 1, 10), (MIN_LABELS, 0)])
def test_too_few_labels_or_no_predictions_give_no_estimate(labels: int, predictions: int) -> None:
    assert (
        estimate_performance(
            overconfident_scores(draw_confidences(0.2, labels)), counted(draw_confidences(0.2, predictions))
        )
        is None
    )
    assert (
        estimate_performance(overconfident_scores(draw_confidences(0.2, MIN_LABELS)), counted(draw_confidences(0.2, 1)))
        is not None
    )


def test_many_confidences_are_represented_by_their_quantiles() -> None:
    labelled, many = overconfident_scores(draw_confidences(0.0)), draw_confidences(0.3, 50_000)
    estimate = estimate_performance(labelled, counted(many))
    assert estimate is not None
    assert estimate.score == pytest.approx(average_confidence(labelled, many), abs=1e-3)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.01, 0.5, 1.0])), min_size=1))
def test_an_estimate_is_between_the_scores_and_grows_with_the_confidence(
    rows: list[tuple[float, float, float]],
) -> None:
    labelled = LabelledScores.from_rows(rows)
    low, high = (average_confidence(labelled, np.array([confidence])) for confidence in (0.2, 0.8))
    assert min(labelled.scores) - 1e-9 <= low <= high + 1e-9 <= max(labelled.scores) + 2e-9
