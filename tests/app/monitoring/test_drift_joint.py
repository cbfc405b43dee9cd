"""Drift of features together."""

import numpy as np

from app.monitoring.drift import DriftBaseline, DriftFinding, Samples, ScanDetector
from app.monitoring.drift_joint import JOINT_EVENTS, MIN_STRETCHES, JointDetector


def correlated(seed: int, correlation: float, events: int = 1000) -> Samples:
    one, other = np.random.default_rng(seed).normal(size=(2, events))
    return {
        "inputs.height": one,
        "inputs.width": correlation * one + np.sqrt(1 - correlation**2) * other,
        "labels.length": one[: events // 10],  # of few events, and of others
    }


def baseline(stretches: int = 6) -> DriftBaseline:
    past = [correlated(seed, 0.95) for seed in range(stretches)]
    return DriftBaseline(correlated(100, 0.95), past)


def detect(window: Samples, against: DriftBaseline | None = None) -> list[DriftFinding]:
    return list(JointDetector().detect(against or baseline(), window))


def test_a_correlation_that_turns_is_drift_of_no_feature_but_of_both_together() -> None:
    turned = correlated(1000, -0.95)
    assert not any(finding.drifted for finding in ScanDetector().detect(baseline(), turned))
    [finding] = detect(turned)
    assert finding.drifted
    assert (finding.detector, finding.feature, finding.events) == ("mmd", "inputs.joint", JOINT_EVENTS)


def test_the_same_distribution_is_no_drift() -> None:
    against = baseline()
    assert not any(detect(correlated(1000 + seed, 0.95), against)[0].drifted for seed in range(40))


def test_the_statistic_is_the_discrepancy_of_the_kernel() -> None:
    """It is 0 between equal samples, and larger for larger shifts."""
    same = correlated(100, 0.95, JOINT_EVENTS)
    against = DriftBaseline(same, baseline().past)
    [nothing] = detect(same, against)
    shifted = [
        detect({name: values + shift for name, values in same.items()}, against)[0].statistic for shift in (0.5, 1.0)
    ]
    assert abs(nothing.statistic) < 1e-9 < shifted[0] < shifted[1]


def test_there_is_no_test_with_too_few_features_events_or_stretches() -> None:
    window = correlated(1000, -0.95)
    assert detect({"inputs.height": window["inputs.height"]}) == []
    assert detect({name: values[: JOINT_EVENTS - 1] for name, values in window.items()}) == []
    assert detect(window, baseline(stretches=MIN_STRETCHES * JOINT_EVENTS // 1000 - 1)) == []
