import numpy as np
import pytest

from benchmarks.studies.feedback_bias import PHASES, WindowResult, evaluate_candidates, simulate_windows

BEFORE, EAGER, FALLEN = PHASES


@pytest.fixture(scope="module")
def stream() -> list[WindowResult]:
    return list(simulate_windows(seed=1, each=4))


def of(phase: str, stream: list[WindowResult]) -> list[WindowResult]:
    return [one for one in stream if one.phase == phase]


def test_the_weighted_estimate_is_near_the_truth_and_the_plain_average_is_far_from_it(
    stream: list[WindowResult],
) -> None:
    assert np.mean([abs(one.weighted - one.truth) for one in stream]) < 0.02
    assert np.mean([abs(one.plain - one.truth) for one in stream]) > 0.1


def test_the_trigger_fires_on_the_fall_and_not_on_the_bias(stream: list[WindowResult]) -> None:
    assert not any(one.fires for one in of(BEFORE.name, stream) + of(EAGER.name, stream))
    assert sum(one.fires for one in of(FALLEN.name, stream)) == 1


def test_by_the_plain_average_it_would_fire_on_the_bias_and_not_on_the_fall(stream: list[WindowResult]) -> None:
    assert any(one.plain_fires for one in of(EAGER.name, stream))
    assert not any(one.plain_fires for one in of(FALLEN.name, stream))


def test_the_gate_passes_what_is_better_in_truth_though_labels_flatter_both() -> None:
    better, worse = evaluate_candidates(seed=1)
    assert better.truth > 0 > worse.truth
    assert min(better.plain, worse.plain) > 0.1
    assert (better.verdict.passed, worse.verdict.passed) == (True, False)
    for one in (better, worse):
        low, high = (one.verdict.metrics[f"improvement_{end}"] for end in ("low", "high"))
        assert low <= one.truth <= high
