import numpy as np
import pytest

from benchmarks.studies.feedback_bias import (
    ANSWERED_SHARES,
    PHASES,
    WindowResult,
    evaluate_candidates,
    simulate_windows,
)

BASELINE, MORE_CORRECTIONS, QUALITY_FALLS = PHASES


@pytest.fixture(scope="module")
def stream() -> list[WindowResult]:
    return list(simulate_windows(seed=1, each=4))


def windows_of(phase: str, stream: list[WindowResult]) -> list[WindowResult]:
    return [window for window in stream if window.phase == phase]


def test_the_weighted_estimate_is_near_the_truth_and_the_plain_average_is_far_from_it(
    stream: list[WindowResult],
) -> None:
    assert np.mean([abs(window.weighted - window.truth) for window in stream]) < 0.02
    assert np.mean([abs(window.plain - window.truth) for window in stream]) > 0.1


def test_the_trigger_fires_on_the_fall_and_not_on_the_bias(stream: list[WindowResult]) -> None:
    healthy = windows_of(BASELINE.name, stream) + windows_of(MORE_CORRECTIONS.name, stream)
    assert not any(window.fires for window in healthy)
    assert any(window.fires for window in windows_of(QUALITY_FALLS.name, stream))


def test_by_the_plain_average_the_trigger_would_fire_on_the_bias_and_not_on_the_fall(
    stream: list[WindowResult],
) -> None:
    assert any(window.plain_fires for window in windows_of(MORE_CORRECTIONS.name, stream))
    assert not any(window.plain_fires for window in windows_of(QUALITY_FALLS.name, stream))


def test_the_gate_passes_only_the_better_candidate_although_the_labels_favour_both() -> None:
    better, worse = evaluate_candidates(seed=1)
    assert better.truth > 0 > worse.truth
    assert min(better.plain, worse.plain) > 0.1
    assert (better.verdict.passed, worse.verdict.passed) == (True, False)
    for candidate in (better, worse):
        low, high = (candidate.verdict.metrics[f"improvement_{end}"] for end in ("low", "high"))
        assert low <= candidate.truth <= high


@pytest.mark.parametrize("answered", ANSWERED_SHARES)
def test_no_worse_candidate_passes_whatever_share_of_the_audit_is_answered(answered: float) -> None:
    """Long form: `python -m benchmarks.studies.feedback_bias --seeds 100`."""
    for seed in range(3):
        _, worse = evaluate_candidates(seed, answered)
        assert worse.plain > 0.1
        assert worse.truth < 0
        assert not worse.verdict.passed
