"""Drift detection: whether inputs or outputs are still distributed as in a reference sample. Pure.

A detector compares a few numbers of each event, its features, such as the confidence or the length of the output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

Samples = Mapping[str, NDArray[np.floating[Any]]]
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


class DriftDetector(Protocol):
    """Compares a window with a reference."""

    def detect(self, reference: Samples, window: Samples) -> Sequence[DriftFinding]:
        """Return a finding for each feature with enough values in both; the window's values are ordered by time.

        The samples are of different events.
        """
        ...


MIN_REFERENCE_VALUES = 50
"""A feature with fewer values in the reference is ignored."""
MAX_WINDOW_EVENTS = 1000
"""Limit of events that are compared: the newest of a window. More events would only detect negligible changes."""
SCAN_LENGTHS = np.array([16, 22, 32, 45, 64, 90, 128, 181, 256, 362, 512, 724, MAX_WINDOW_EVENTS])

_TESTS = ("normal-scores", "spread")
_OVERLAP_FACTOR = 2
"""Overlapping windows have more false alarms than separate ones, by this factor (measured, see the tests)."""
_Floats = NDArray[np.floating[Any]]


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
    overlapping windows. Therefore the detector may run at every event, or less often. Events are assumed to be
    independent: `min_effect` protects against bursts of similar events.
    """

    min_effect: float = 0.25
    """Smallest shift that counts, in standard deviations of a normal distribution."""
    false_alarm_rate: float = 1e-6

    def detect(self, reference: Samples, window: Samples) -> Sequence[DriftFinding]:
        """Return for each feature the finding with the largest ratio of statistic to threshold."""
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
        return [self._finding(name, np.sort(reference[name]), window[name], quantiles) for name in names]

    def _finding(self, name: str, reference: _Floats, window: _Floats, quantiles: _Floats) -> DriftFinding:
        # With one value below and one above the reference: values that it does not contain are not impossible.
        baseline = _normal_scores(reference, np.concatenate([reference, [-np.inf, np.inf]]))
        mean, deviation = baseline.mean(axis=1, keepdims=True), baseline.std(axis=1, keepdims=True)
        skewness = ((baseline - mean) ** 3).mean(axis=1, keepdims=True) / deviation**3
        lengths = SCAN_LENGTHS[len(window) >= SCAN_LENGTHS]
        newest = _normal_scores(reference, window[: -MAX_WINDOW_EVENTS - 1 : -1]) - mean
        shifts = np.cumsum(newest, axis=1)[:, lengths - 1] / lengths
        normal = quantiles[: len(lengths)]
        correction = np.maximum(0.0, np.sign(shifts) * skewness) / np.sqrt(lengths) * (normal**2 - 1) / 6
        chance = (normal + correction) * deviation * np.sqrt(1 / lengths + 1 / len(reference))
        thresholds = np.maximum(self.min_effect, chance)
        test, index = np.unravel_index(np.argmax(np.abs(shifts) / thresholds), shifts.shape)
        statistic, threshold = abs(float(shifts[test, index])), float(thresholds[test, index])
        return DriftFinding(_TESTS[test], name, statistic, threshold, int(lengths[index]))


def _normal_scores(reference: _Floats, values: _Floats) -> _Floats:
    """Return the scores whose mean each test takes (2, N), by a sorted reference; finite also beyond its range."""
    left, right = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    scores = special.ndtri((left + right + 1) / (2 * len(reference) + 2))
    return np.stack([scores, np.abs(scores)])
