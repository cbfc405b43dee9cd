import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.monitoring.drift import FEWEST, Detector, KolmogorovSmirnov, Samples

DETECTOR: Detector = KolmogorovSmirnov()


def confidences(seed: int, events: int, mean: float = 0.0, name: str = "confidence") -> Samples:
    return {name: np.random.default_rng(seed).normal(mean, 1.0, events)}


def test_a_window_that_moved_is_found() -> None:
    (found,) = DETECTOR.findings(confidences(0, 1000), confidences(1, 1000, mean=0.5))
    assert found.drifted
    assert (found.detector, found.feature, found.events) == ("kolmogorov-smirnov", "confidence", 1000)


def test_a_window_that_is_like_the_reference_is_not() -> None:
    reference = confidences(0, 1000)
    windows = [confidences(seed, 500) for seed in range(1, 500)]
    assert not any(one.drifted for window in windows for one in DETECTOR.findings(reference, window))


def test_a_trifle_is_no_drift_however_many_events_show_it() -> None:
    trifle = confidences(0, 200_000), confidences(1, 200_000, mean=0.1)
    (found,) = KolmogorovSmirnov(effect=0.1).findings(*trifle)
    (strict,) = KolmogorovSmirnov(effect=0.0).findings(*trifle)
    assert strict.drifted and not found.drifted


def test_chance_is_exceeded_as_often_as_alpha_says() -> None:
    detector = KolmogorovSmirnov(effect=0.0, alpha=0.1)
    found = [detector.findings(confidences(2 * n, 500), confidences(2 * n + 1, 500))[0].drifted for n in range(400)]
    assert 0.05 <= np.mean(found) <= 0.14


def test_the_more_features_are_looked_at_the_more_each_must_show() -> None:
    detector = KolmogorovSmirnov(effect=0.0)
    reference, window = confidences(0, 500), confidences(1, 500)
    (alone,) = detector.findings(reference, window)
    together = detector.findings(
        {**reference, **confidences(2, 500, name="length")}, {**window, **confidences(3, 500, name="length")}
    )
    assert [one.feature for one in together] == ["confidence", "length"]
    assert all(one.threshold > alone.threshold for one in together)


@pytest.mark.parametrize("window", [{}, confidences(1, FEWEST - 1, 9.0), confidences(1, 500, 9.0, name="length")])
def test_of_a_feature_that_either_has_too_few_values_of_nothing_is_said(window: Samples) -> None:
    assert DETECTOR.findings(confidences(0, 500), window) == []


@given(st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_the_unit_of_a_feature_makes_no_difference(scale: float, shift: float) -> None:
    reference, window = confidences(0, 200), confidences(1, 200, mean=0.3)
    (found,) = DETECTOR.findings(reference, window)
    (other,) = DETECTOR.findings(
        *({name: value * scale + shift for name, value in one.items()} for one in (reference, window))
    )
    assert other.statistic == pytest.approx(found.statistic, abs=0.01)
