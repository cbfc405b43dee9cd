"""Drift detection: whether inputs or outputs are still distributed as in a reference sample. Pure.

A detector compares a few numbers of each event, its features, such as the confidence or the length of the output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import numpy as np
from scipy import special

from app.monitoring.drift_calibration import maxima_factor, variance_inflation
from models.off_policy import Floats

Samples = Mapping[str, Floats]
"""Feature -> its value for each event (N,)."""


@dataclass(frozen=True)
class DriftFinding:
    """Result of a detector for one feature: as in `DriftDetected`."""

    detector: str
    """Name of the test."""
    feature: str
    statistic: float
    threshold: float
    """Drift is a statistic above this threshold."""
    events: int
    """Events of the window that were compared."""

    @property
    def drifted(self) -> bool:
        """Whether the feature has drifted."""
        return self.statistic > self.threshold


@dataclass(frozen=True)
class DriftBaseline:
    """The distribution without drift."""

    reference: Samples
    """It defines the distribution."""
    past: Sequence[Samples] = ()
    """Stretches of successive events, ordered by time: these show how much a statistic varies without drift. If there
    are none, the reference is one."""
    calibrations: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What detectors computed from this baseline, by feature."""


class DriftDetector(Protocol):
    """Compares a window with a baseline."""

    def detect(self, baseline: DriftBaseline, window: Samples) -> Sequence[DriftFinding]:
        """Return a finding for each feature with enough values in both; the window's values are ordered by time.

        The window has other events than the baseline.
        """
        ...


MIN_REFERENCE_VALUES = 50
"""A feature with fewer values in the reference is ignored."""
MAX_WINDOW_EVENTS = 1000
"""Limit of events that are compared: the newest of a window. More events would only detect negligible changes."""
CYCLE = timedelta(days=1)
"""Most traffic has a daily pattern: a reference should span it."""
SCAN_LENGTHS = np.array([16, 22, 32, 45, 64, 90, 128, 181, 256, 362, 512, 724, MAX_WINDOW_EVENTS])

_TESTS = ("normal-scores", "spread")
_OVERLAP_FACTOR = 2
"""Overlapping windows have more false alarms than separate ones, by this factor (measured, see the tests)."""


@dataclass(frozen=True)
class ScanDetector:
    """Compares the last n events with the reference, for n from 16 to 1000: few events that moved far, or many.

    The rank of a value is the share of the reference that is smaller, ties halved, and its score is the normal
    distribution's quantile at that rank (van der Waerden, 1952). Two statistics are tested: the mean score of the n
    events, which detects a shift with no more events than Student's t, whatever the distribution (Chernoff & Savage,
    1958); and the mean absolute score, which detects a wider or narrower distribution. The threshold of both is the
    larger of `min_effect` and the value that chance exceeds with probability p. That value is the normal distribution's
    quantile with Cornish & Fisher's correction for skewness, because few events of a rare class are far from normal.

    `false_alarm_rate` is the rate for each event of the stream, over all features: there is a separate window of n
    events once in n events, so p is n * rate, divided among features, lengths, both tests, both directions, and
    overlapping windows. Therefore the detector may run at every event, or less often. Events may depend on each other
    as in the past: see `drift_calibration`.
    """

    min_effect: float = 0.25
    """Smallest shift that counts, in standard deviations of a normal distribution."""
    false_alarm_rate: float = 1e-6

    def detect(self, baseline: DriftBaseline, window: Samples) -> Sequence[DriftFinding]:
        """Return for each feature the finding with the largest ratio of statistic to threshold."""
        reference = baseline.reference
        names = [
            name
            for name in sorted(reference.keys() & window)
            if len(reference[name]) >= MIN_REFERENCE_VALUES and len(window[name]) >= SCAN_LENGTHS[0]
        ]
        chance = (
            self.false_alarm_rate
            * SCAN_LENGTHS
            / (len(SCAN_LENGTHS) * len(_TESTS) * 2 * _OVERLAP_FACTOR * max(len(names), 1))
        )
        quantiles = -special.ndtri(chance)
        findings = []
        for name in names:
            key = f"{name} of {len(names)}"
            if key not in baseline.calibrations:
                baseline.calibrations[key] = self._calibrate(baseline, name, quantiles, len(names))
            findings.append(self._finding(name, baseline.calibrations[key], window[name]))
        return findings

    def _calibrate(self, baseline: DriftBaseline, name: str, quantiles: Floats, features: int) -> "_FeatureCalibration":
        reference = np.sort(baseline.reference[name])
        # With one value below and one above the reference: values that it does not contain are not impossible.
        scores = normal_scores(reference, np.concatenate([reference, [-np.inf, np.inf]]))
        mean, deviation = scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True)
        skewness = ((scores - mean) ** 3).mean(axis=1, keepdims=True) / deviation**3
        past = [stretch[name] for stretch in baseline.past or (baseline.reference,) if name in stretch]
        stretches = [normal_scores(reference, values) - mean for values in past]
        inflation = variance_inflation(stretches, SCAN_LENGTHS, deviation**2)
        variance = inflation / SCAN_LENGTHS + inflation[:, -1:] / len(reference)
        corrections = skewness / np.sqrt(SCAN_LENGTHS) * (quantiles**2 - 1) / 6
        falls, rises = (
            (quantiles + np.maximum(0.0, sign * corrections)) * deviation * np.sqrt(variance) for sign in (-1, 1)
        )
        rate = self.false_alarm_rate / features
        factor = maxima_factor(stretches, SCAN_LENGTHS, falls, rises, rate)
        return _FeatureCalibration(
            reference, mean, np.maximum(self.min_effect, factor * falls), np.maximum(self.min_effect, factor * rises)
        )

    def _finding(self, name: str, calibration: "_FeatureCalibration", window: Floats) -> DriftFinding:
        lengths = SCAN_LENGTHS[len(window) >= SCAN_LENGTHS]
        newest = normal_scores(calibration.reference, window[: -MAX_WINDOW_EVENTS - 1 : -1]) - calibration.mean
        shifts = np.cumsum(newest, axis=1)[:, lengths - 1] / lengths
        falls, rises = calibration.falls[:, : len(lengths)], calibration.rises[:, : len(lengths)]
        thresholds = np.where(shifts < 0, falls, rises)
        test, index = np.unravel_index(np.argmax(np.abs(shifts) / thresholds), shifts.shape)
        statistic, threshold = abs(float(shifts[test, index])), float(thresholds[test, index])
        return DriftFinding(_TESTS[test], name, statistic, threshold, int(lengths[index]))


@dataclass(frozen=True)
class _FeatureCalibration:
    """The thresholds of a feature."""

    reference: Floats
    """Its values without drift, sorted."""
    mean: Floats
    """The mean of their scores (tests, 1)."""
    falls: Floats
    """Thresholds of negative shifts (tests, lengths)."""
    rises: Floats
    """Thresholds of positive shifts (tests, lengths)."""


def normal_scores(reference: Floats, values: Floats) -> Floats:
    """Return the scores whose mean each test takes (2, N), by a sorted reference; finite also beyond its range."""
    left, right = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    scores = special.ndtri((left + right + 1) / (2 * len(reference) + 2))
    return np.stack([scores, np.abs(scores)])
