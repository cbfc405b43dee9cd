import numpy as np

from benchmarks.studies.performance_estimation import (
    DRIFTED_SHARES,
    ESTIMATORS,
    ScoredPredictions,
    markdown,
    measure_errors,
)


def calibrated_predictions(low: float, high: float) -> ScoredPredictions:
    """Return predictions of a model that is right as often as its confidence says."""
    random = np.random.default_rng(0)
    confidences = random.uniform(low, high, 400)
    return ScoredPredictions(confidences, (random.random(400) < confidences).astype(np.float64))


def test_a_fall_is_estimated_without_its_labels_while_confidence_stays_calibrated() -> None:
    baseline, drifted = calibrated_predictions(0.0, 1.0), calibrated_predictions(0.0, 0.6)
    errors = list(measure_errors("task", baseline, drifted, 5, 0))
    assert len(errors) == 5 * len(DRIFTED_SHARES) * len(ESTIMATORS)
    fallen = [error for error in errors if error.share == 1.0 and error.estimator == "average confidence"]
    assert np.mean([error.truth for error in fallen]) < 0.4
    assert np.mean([abs(error.estimate - error.truth) for error in fallen]) < 0.1
    assert markdown(errors).count("`task`") == len(DRIFTED_SHARES)
