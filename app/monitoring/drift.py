"""Drift: whether what comes in or goes out is still distributed as in a reference sample. Pure.

A detector looks at a few numbers of each event, such as the confidence or the length of the output: its features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

Samples = Mapping[str, NDArray[np.floating[Any]]]
"""By feature, its value of each event (N,)."""


@dataclass(frozen=True)
class DriftFinding:
    """What a detector found of one feature: as in `DriftDetected`."""

    detector: str
    """The test's name."""
    feature: str
    statistic: float
    """What the test found."""
    threshold: float
    """What it may find at most."""
    events: int
    """How many events of the window it looked at."""

    @property
    def drifted(self) -> bool:
        """Whether the feature has moved."""
        return self.statistic > self.threshold


class DriftDetector(Protocol):
    """Compares a window with a reference."""

    def detect(self, reference: Samples, window: Samples) -> Sequence[DriftFinding]:
        """One for each feature that both have enough values of: a window's in the order of their time.

        The samples are of different events.
        """
        ...


MIN_REFERENCE_VALUES = 50
"""Values of a feature in a reference: fewer are none."""
MAX_WINDOW_EVENTS = 1000
"""The most events that are compared with a reference: the newest of a window. More would show trifles alone."""
SCAN_LENGTHS = np.array([16, 22, 32, 45, 64, 90, 128, 181, 256, 362, 512, 724, MAX_WINDOW_EVENTS])

_TESTS = ("normal-scores", "spread")
_OVERLAP_FACTOR = 2
"""By so much windows that overlap have more false alarms than those that begin anew: as measured, see the tests."""
_Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ScanDetector:
    """The last n events are held against the reference, for n from 16 to 1000: a few that moved far, or many.

    A value's place is the share of the reference that is smaller, ties halved, and its score the normal distribution's
    quantile at that place (van der Waerden, 1952). Looked at are the mean score of the n, which finds a shift with no
    more events than Student's t whatever the distribution (Chernoff & Savage, 1958), and the mean size of their scores,
    for what spreads or shrinks. Of both, threshold is whichever is larger: the least `effect`, or what chance exceeds
    with probability p. The quantile is the normal distribution's with Cornish & Fisher's correction for skewness: few
    events of a rare class are far from normal.

    `rate` is of false alarms, for each event of the stream, in all features together: windows of n events begin anew
    once in n events, so p is n * rate, shared by features, lengths, both tests, both directions, and the windows that
    overlap. So one may look at every event, or less often. It takes events to be independent: the least effect is what
    stands against bursts of alike ones.
    """

    min_effect: float = 0.25
    """Of a normal distribution, a shift by so many standard deviations."""
    false_alarm_rate: float = 1e-6

    def detect(self, reference: Samples, window: Samples) -> Sequence[DriftFinding]:
        """As `Detector` says; of each feature what is furthest beyond its threshold, or nearest to it."""
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
        # Beside the reference's own values one below and one above all: what was never seen isn't impossible.
        usual = _normal_scores(reference, np.concatenate([reference, [-np.inf, np.inf]]))
        mean, deviation = usual.mean(axis=1, keepdims=True), usual.std(axis=1, keepdims=True)
        skewness = ((usual - mean) ** 3).mean(axis=1, keepdims=True) / deviation**3
        lengths = SCAN_LENGTHS[len(window) >= SCAN_LENGTHS]
        newest = _normal_scores(reference, window[: -MAX_WINDOW_EVENTS - 1 : -1]) - mean
        moved = np.cumsum(newest, axis=1)[:, lengths - 1] / lengths
        normal = quantiles[: len(lengths)]
        skewed = np.maximum(0.0, np.sign(moved) * skewness) / np.sqrt(lengths) * (normal**2 - 1) / 6
        chance = (normal + skewed) * deviation * np.sqrt(1 / lengths + 1 / len(reference))
        bounds = np.maximum(self.min_effect, chance)
        test, at = np.unravel_index(np.argmax(np.abs(moved) / bounds), moved.shape)
        statistic, threshold = abs(float(moved[test, at])), float(bounds[test, at])
        return DriftFinding(_TESTS[test], name, statistic, threshold, int(lengths[at]))


def _normal_scores(reference: _Floats, values: _Floats) -> _Floats:
    """What each test takes the mean of, (2, N), by a sorted reference; finite for a value beyond all of it."""
    below, to = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    scores = special.ndtri((below + to + 1) / (2 * len(reference) + 2))
    return np.stack([scores, np.abs(scores)])
