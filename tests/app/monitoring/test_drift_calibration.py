"""The variance and the extremes of means of events that depend on each other."""

import numpy as np
import pytest
from scipy.signal import lfilter

from app.monitoring.drift import SCAN_LENGTHS, DriftBaseline, ScanDetector
from app.monitoring.drift_calibration import maxima_factor, variance_inflation
from models.off_policy import Floats


def autoregressive(seed: int, events: int, phi: float) -> Floats:
    """Return events of variance 1 (1, events)."""
    noise = np.random.default_rng(seed).normal(size=events + 500)
    return np.asarray(lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise)[None, 500:])


def stretches(phi: float) -> list[Floats]:
    return [autoregressive(seed, 1000, phi) for seed in range(24)]


def inflation(phi: float) -> Floats:
    ratios: Floats = variance_inflation(stretches(phi), SCAN_LENGTHS, np.ones((1, 1)))[0]
    return ratios


@pytest.mark.parametrize("phi", [0.3, 0.6, 0.9])
def test_the_inflation_of_autocorrelated_events_is_that_of_the_theory(phi: float) -> None:
    """(1 + phi) / (1 - phi) for long means; the confidence limit is at most a third more for means of 128 events."""
    index = list(SCAN_LENGTHS).index(128)
    lags = np.arange(1, 128)
    exact = 1 + 2 * np.sum((1 - lags / 128) * phi**lags)
    assert 0.9 * exact <= inflation(phi)[index] <= 1.5 * exact


def test_independent_events_have_next_to_no_inflation() -> None:
    assert inflation(0.0)[:5].max() < 1.1
    assert inflation(0.0).max() < 1.5


def test_the_inflation_grows_with_the_length_and_needs_two_batches() -> None:
    assert np.all(np.diff(inflation(0.9)) >= 0)
    assert variance_inflation([], SCAN_LENGTHS, np.ones((1, 1))).max() == 1.0
    short = variance_inflation([autoregressive(0, 20, 0.9)], SCAN_LENGTHS, np.ones((1, 1)))
    assert short.max() == 1.0


def test_thresholds_rise_where_extremes_are_larger_than_normal_ones() -> None:
    """A stretch in ten has a burst."""
    calm = stretches(0.0)
    bursty = [np.where((np.arange(1000) < 60 * (seed % 5 == 0)), 2.0, one) for seed, one in enumerate(calm)]
    thresholds = (6.0 / np.sqrt(SCAN_LENGTHS))[None]
    assert maxima_factor(calm, SCAN_LENGTHS, thresholds, thresholds, 1e-6) == 1.0
    assert maxima_factor(bursty, SCAN_LENGTHS, thresholds, thresholds, 1e-6) > 2.0


def test_too_few_maxima_change_no_threshold() -> None:
    thresholds = np.full((1, len(SCAN_LENGTHS)), 1e-3)
    assert maxima_factor(stretches(0.9)[:9], SCAN_LENGTHS, thresholds, thresholds, 1e-6) == 1.0


def test_a_stream_that_varies_slowly_is_drift_only_without_its_past() -> None:
    stream = autoregressive(0, 26_000, 0.9)[0]
    past = [{"confidence": stream[start : start + 1000]} for start in range(0, 24_000, 1000)]
    reference = {"confidence": stream[:24_000:12]}

    def alarms(baseline: DriftBaseline, shift: float = 0.0) -> int:
        windows = [{"confidence": stream[end - 1000 : end] + shift} for end in range(25_000, 26_001, 50)]
        return sum(ScanDetector().detect(baseline, window)[0].drifted for window in windows)

    assert alarms(DriftBaseline(reference)) > 0
    assert alarms(DriftBaseline(reference, past)) == 0
    assert alarms(DriftBaseline(reference, past), shift=2.0) > 0
