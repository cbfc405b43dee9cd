from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.monitoring.drift import (
    MAX_WINDOW_EVENTS,
    MIN_REFERENCE_VALUES,
    SCAN_LENGTHS,
    DriftBaseline,
    DriftDetector,
    Samples,
    ScanDetector,
)

DETECTOR: DriftDetector = ScanDetector()


def confidences(seed: int, events: int, mean: float = 0.0, deviation: float = 1.0) -> Samples:
    return {"confidence": np.random.default_rng(seed).normal(mean, deviation, events)}


def classes(seed: int, events: int, share: float) -> Samples:
    """Return whether each event is of a class."""
    return {"class": (np.random.default_rng(seed).random(events) < share).astype(float)}


def concatenate(first: Samples, second: Samples) -> Samples:
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def drifts(reference: Samples, window: Samples, detector: DriftDetector = DETECTOR) -> bool:
    return any(finding.drifted for finding in detector.detect(DriftBaseline(reference), window))


def alarms(reference: Samples, stream: Samples, detector: DriftDetector) -> bool:
    """Return whether the detector alarms if it runs after every 20 events of the stream."""
    lengths = range(20, 1 + min(map(len, stream.values())), 20)
    return any(drifts(reference, {name: values[:n] for name, values in stream.items()}, detector) for n in lengths)


@pytest.mark.parametrize(("shift", "events"), [(0.5, 300), (1.0, 90), (2.0, 32)])
def test_a_larger_shift_is_detected_with_fewer_events(shift: float, events: int) -> None:
    for seed in range(20):
        moved = concatenate(confidences(seed, 700), confidences(seed + 100, events, mean=shift))
        (finding,) = DETECTOR.detect(DriftBaseline(confidences(seed + 200, 1000)), moved)
        assert finding.drifted
        assert finding.feature == "confidence"
        assert finding.events <= 2 * events


def test_a_feature_that_spreads_around_the_same_mean_has_drifted() -> None:
    (finding,) = DETECTOR.detect(DriftBaseline(confidences(0, 1000)), confidences(1, 200, deviation=2.0))
    assert finding.drifted
    assert finding.detector == "spread"


def test_a_class_that_becomes_more_common_or_is_new_has_drifted() -> None:
    assert drifts(classes(0, 1000, 0.1), classes(1, 200, 0.4))
    assert drifts(classes(0, 1000, 0.0), classes(1, 200, 0.3))


def test_the_statistic_is_that_of_van_der_waerden() -> None:
    """Except for the mean of the reference's own scores, which is nearly 0 if no two values are equal."""
    reference, window = confidences(0, 1000), confidences(1, int(SCAN_LENGTHS[0]), mean=1.0)
    (finding,) = DETECTOR.detect(DriftBaseline(reference), window)
    smaller = (reference["confidence"] < window["confidence"][:, None]).sum(axis=1)
    assert finding.statistic == pytest.approx(stats.norm.ppf((smaller + 0.5) / 1001).mean(), abs=0.001)


def test_a_few_outliers_are_detected_sooner_than_by_their_ranks_alone() -> None:
    """A third of the events has another source: Mann & Whitney's statistic needs twice as many events."""
    for seed in range(20):
        mixed = np.where(np.arange(60) % 3 == 0, 9.0, confidences(seed, 60)["confidence"])
        assert drifts(confidences(seed + 100, 1000), concatenate(confidences(seed + 200, 700), {"confidence": mixed}))


STATIONARY: dict[str, Callable[[int], Samples]] = {
    "normal": lambda seed: confidences(seed, 1000),
    "rare": lambda seed: classes(seed, 1000, 0.02),
    "common": lambda seed: classes(seed, 1000, 0.5),
}


@pytest.mark.parametrize("stream", STATIONARY.values(), ids=STATIONARY)
def test_a_stationary_stream_has_no_more_false_alarms_than_the_rate(stream: Callable[[int], Samples]) -> None:
    detector = ScanDetector(min_effect=0.0, false_alarm_rate=1e-4)
    false_alarms = sum(alarms(stream(2 * seed), stream(2 * seed + 1), detector) for seed in range(60))
    assert false_alarms <= 6  # in 60,000 events


def test_a_higher_rate_allows_more_false_alarms() -> None:
    pairs = [(confidences(2 * seed, 1000), confidences(2 * seed + 1, 1000)) for seed in range(20)]
    few, many = (
        sum(alarms(*pair, ScanDetector(min_effect=0.0, false_alarm_rate=rate)) for pair in pairs)
        for rate in (1e-6, 1e-2)
    )
    assert few == 0
    assert many >= 5


def test_a_shift_below_the_minimum_effect_is_no_drift_even_if_it_is_significant() -> None:
    reference, window = confidences(0, 200_000), confidences(1, MAX_WINDOW_EVENTS, mean=0.2)
    assert drifts(reference, window, ScanDetector(min_effect=0.0, false_alarm_rate=1e-4))
    assert not drifts(reference, window, ScanDetector(min_effect=0.5, false_alarm_rate=1e-4))


def test_the_threshold_of_a_feature_rises_with_the_number_of_features() -> None:
    detector = ScanDetector(min_effect=0.0)
    reference, window = confidences(0, 500), confidences(1, 500, mean=1.0)
    (alone,) = detector.detect(DriftBaseline(reference), window)
    together = detector.detect(DriftBaseline({**reference, **classes(2, 500, 0.5)}), {**window, **classes(3, 500, 0.5)})
    assert [finding.feature for finding in together] == ["class", "confidence"]
    assert together[1].statistic / together[1].threshold < alone.statistic / alone.threshold


@pytest.mark.parametrize("window", [{}, confidences(1, int(SCAN_LENGTHS[0]) - 1, 9.0), classes(1, 500, 0.5)])
def test_a_feature_with_too_few_values_in_the_window_has_no_finding(window: Samples) -> None:
    assert DETECTOR.detect(DriftBaseline(confidences(0, 500)), window) == []


def test_a_feature_with_too_few_values_in_the_reference_has_no_finding() -> None:
    assert DETECTOR.detect(DriftBaseline(confidences(0, MIN_REFERENCE_VALUES - 1)), confidences(1, 500, 9.0)) == []


def test_a_constant_feature_has_not_drifted_until_it_changes() -> None:
    constant = {"size": np.full(500, 49_152.0)}
    assert not drifts(constant, constant)
    assert drifts(constant, concatenate(constant, {"size": np.full(50, 12_288.0)}))


@given(st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_the_unit_of_a_feature_does_not_change_the_statistic(scale: float, shift: float) -> None:
    reference, window = confidences(0, 200), confidences(1, 200, mean=0.3)
    (finding,) = DETECTOR.detect(DriftBaseline(reference), window)
    scaled_reference, scaled_window = (
        {name: values * scale + shift for name, values in samples.items()} for samples in (reference, window)
    )
    (scaled,) = DETECTOR.detect(DriftBaseline(scaled_reference), scaled_window)
    assert scaled.statistic == pytest.approx(finding.statistic, abs=0.01)
