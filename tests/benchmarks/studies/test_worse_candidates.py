"""The short form of `python -m benchmarks.studies.worse_candidates`."""

import pytest

from benchmarks.studies.worse_candidates import ANSWERED_SHARES, PATTERNS, judge_candidate, true_gain


@pytest.mark.parametrize("answered", ANSWERED_SHARES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_worse_candidate_passes_though_all_labels_favour_it(answered: float, pattern: str) -> None:
    assert true_gain("worse") < 0
    log, verdict = judge_candidate("worse", answered, pattern, seed=0)  # type: ignore[arg-type]
    assert log.all_labels_gain > 0.1
    assert not verdict.passed


@pytest.mark.parametrize(("answered", "passes"), [(0.2, True), (1.0, True), (0.0, False)])
def test_a_better_candidate_passes_if_enough_of_the_audit_is_answered(answered: float, passes: bool) -> None:
    assert true_gain("better") > 0
    assert judge_candidate("better", answered, "in one stretch", seed=0)[1].passed == passes
