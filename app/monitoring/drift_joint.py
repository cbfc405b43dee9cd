"""Drift of several features together: one test of the joint distribution beside those of each feature. Pure.

Each feature can be distributed as before while features that belonged together no longer do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.spatial.distance import cdist, pdist

from app.monitoring.drift import DriftBaseline, DriftFinding, Samples, normal_scores
from models.off_policy import Floats

JOINT_EVENTS = 250
"""The newest events of a window that are compared."""
MIN_STRETCHES = 20
"""With fewer stretches of so many events in the past, the test has no threshold."""
_MAX_REFERENCE = 500
"""Limit of reference events, evenly spaced: time and memory grow with their square."""
_FEATURE = "inputs.joint"
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class JointDetector:
    """Compares the newest events with the reference by the maximum mean discrepancy of all inputs and outputs.

    MMD^2 = mean k(w, w') - 2 mean k(w, r) + mean k(r, r') (Gretton et al., "A kernel two-sample test", JMLR 2012), with
    a Gaussian kernel on the normal scores of each feature, as wide as the median distance (Rabanser, Guennemann &
    Lipton, NeurIPS 2019, compare it for this use). Its distribution without drift is a gamma distribution, as in
    section 3.3 there, but with the moments of the same statistic on stretches of the past: these depend on each other
    as the events of the window do. The deviation is the upper confidence limit of that.
    """

    false_alarm_rate: float = 1e-7
    """For each event of the stream. It is a tenth of that of `ScanDetector`, because users who send bursts of alike
    events have more extremes than the gamma distribution."""

    def detect(self, baseline: DriftBaseline, window: Samples) -> Sequence[DriftFinding]:
        """Return a finding if there are two features or more, and enough events and past."""
        names = _joint_names(baseline.reference, window)
        if len(names) < 2 or len(window[names[0]]) < JOINT_EVENTS:
            return []
        key = " ".join(names)
        if key not in baseline.calibrations:
            baseline.calibrations[key] = _JointCalibration.from_baseline(baseline, names)
        calibration: _JointCalibration | None = baseline.calibrations[key]
        if calibration is None:
            return []
        statistic = calibration.kernel.discrepancy(_matrix(window, names)[-JOINT_EVENTS:])
        threshold = calibration.quantile(self.false_alarm_rate * JOINT_EVENTS / 2)  # windows overlap
        return [DriftFinding("mmd", _FEATURE, statistic, threshold, JOINT_EVENTS)]


@dataclass(frozen=True)
class _Kernel:
    """A Gaussian kernel of the normal scores of a reference."""

    columns: Sequence[Floats]
    """The sorted values of each feature."""
    reference: Floats
    """Normal scores (reference events, features)."""
    scale: float
    """1 / (2 width^2)."""

    @classmethod
    def from_reference(cls, reference: Floats) -> "_Kernel":
        columns = [np.sort(column) for column in reference.T]
        evenly = reference[np.linspace(0, len(reference) - 1, min(len(reference), _MAX_REFERENCE)).astype(int)]
        scores = _scores(columns, evenly)
        return cls(columns, scores, 1 / (2 * max(float(np.median(pdist(scores))), 1e-6) ** 2))

    def discrepancy(self, events: Floats) -> float:
        """Return MMD^2 between events (N, features) and the reference, up to the reference's own constant term."""
        scores = _scores(self.columns, events)
        return self._mean(scores, scores) - 2 * self._mean(scores, self.reference) + self._mean(*[self.reference] * 2)

    def _mean(self, one: Floats, other: Floats) -> float:
        return float(np.mean(np.exp(-self.scale * cdist(one, other, "sqeuclidean"))))


@dataclass(frozen=True)
class _JointCalibration:
    """The kernel, and the moments of its discrepancy without drift."""

    kernel: _Kernel
    mean: float
    deviation: float

    @classmethod
    def from_baseline(cls, baseline: DriftBaseline, names: Sequence[str]) -> "_JointCalibration | None":
        """Return None without enough past."""
        kernel = _Kernel.from_reference(_matrix(baseline.reference, names))
        past = [_matrix(stretch, names) for stretch in baseline.past if all(name in stretch for name in names)]
        values = [
            kernel.discrepancy(events[end - JOINT_EVENTS : end])
            for events in past
            for end in range(len(events), JOINT_EVENTS - 1, -JOINT_EVENTS)
        ]
        if len(values) < MIN_STRETCHES:
            return None
        freedom = len(values) - 1
        limit = np.sqrt(freedom / special.chdtri(freedom, _CONFIDENCE))
        return cls(kernel, float(np.mean(values)), float(np.std(values, ddof=1) * limit))

    def quantile(self, chance: float) -> float:
        """Return the value that the gamma distribution with these moments exceeds with this probability."""
        shape = (self.mean / max(self.deviation, 1e-12)) ** 2
        return float(special.gammainccinv(shape, chance) * self.mean / shape)


def _joint_names(reference: Samples, window: Samples) -> list[str]:
    """Return the features that every event has, in both."""
    shared = [name for name in sorted(reference.keys() & window) if not name.startswith("labels.")]
    sizes = [max((len(samples[name]) for name in shared), default=0) for samples in (reference, window)]
    return [name for name in shared if [len(reference[name]), len(window[name])] == sizes]


def _matrix(samples: Samples, names: Sequence[str]) -> Floats:
    """Return the events of samples (events, features)."""
    return np.stack([samples[name] for name in names], axis=1)


def _scores(columns: Sequence[Floats], events: Floats) -> Floats:
    return np.stack(
        [normal_scores(column, values)[0] for column, values in zip(columns, events.T, strict=True)], axis=1
    )
