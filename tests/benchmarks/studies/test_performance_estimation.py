import numpy as np

from benchmarks.studies.performance_estimation import (
    DRIFTED_SHARES,
    ESTIMATORS,
    ScoredPredictions,
    markdown,
    measure_errors,
)


def answered(low: float, high: float) -> ScoredPredictions:
    """Of a model that is right as often as it says."""
    random = np.random.default_rng(0)
    confidences = random.uniform(low, high, 400)
    return ScoredPredictions(confidences, (random.random(400) < confidences).astype(np.float64))


def test_where_confidence_stays_calibrated_a_fall_is_told_without_its_labels() -> None:
    found = list(measure_errors("made", answered(0.0, 1.0), answered(0.0, 0.6), 5, 0))
    assert len(found) == 5 * len(DRIFTED_SHARES) * len(ESTIMATORS)
    fallen = [one for one in found if one.share == 1.0 and one.estimator == "average confidence"]
    assert np.mean([one.truth for one in fallen]) < 0.4
    assert np.mean([abs(one.estimate - one.truth) for one in fallen]) < 0.1
    assert markdown(found).count("`made`") == len(DRIFTED_SHARES)
