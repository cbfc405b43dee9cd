"""The elimination of shadows by paired scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.retraining.rollout.comparison import RolloutEvidence, sequential_harms
from app.retraining.rollout.elimination import Elimination, ShadowScores, eliminate, losing_versions
from app.settings.rollout import RolloutSettings
from models.off_policy import Floats
from tests.support.rollout_arms import make_arm

PLAN = RolloutSettings(max_score_loss=0.05, max_minutes=100)


def observe(*right: float, requests: int = 1000, minutes: float = 10) -> ShadowScores:
    """Return the scores of champion 1 and shadows 2, 3, ... that are right on this share of the requests."""
    hard = np.random.default_rng(0).permutation(requests)[:, np.newaxis] / requests
    scores = (hard < np.array(right)).astype(float)
    versions = [str(number) for number in range(1, 1 + len(right))]
    return ShadowScores(versions[0], tuple(versions[1:]), scores, [str(row) for row in range(requests)], minutes)


def interval(result: Elimination, candidate: str, other: str) -> tuple[float, float]:
    return next(loss.interval for loss in result.losses if (loss.candidate, loss.other) == (candidate, other))


def test_nothing_is_known_without_labels() -> None:
    result = eliminate(observe(0.8, 0.8, 0.8, requests=0), PLAN)
    assert (result.eliminated, result.remaining, result.is_decided) == ({}, ("2", "3"), False)
    assert all((loss.requests, loss.mean, loss.interval) == (0, 0.0, (-1, 1)) for loss in result.losses)


def test_a_shadow_that_is_worse_than_the_champion_is_eliminated_with_figures() -> None:
    result = eliminate(observe(0.8, 0.8, 0.5), PLAN)
    assert result.remaining == ("2",)
    reason = result.eliminated["3"]
    assert reason.startswith("On 1000 requests its mean score is 0.2")
    assert reason.endswith("below that of version 1, 0.05 is tolerated.")


def test_a_shadow_that_is_better_than_the_champion_is_eliminated_by_one_that_is_better_still() -> None:
    result = eliminate(observe(0.5, 0.6, 0.9), PLAN)
    assert list(result.eliminated) == ["2"]
    assert "below that of version 3" in result.eliminated["2"]
    assert (result.remaining, result.is_decided) == (("3",), True)


def test_none_remains_if_all_are_worse_than_the_champion() -> None:
    result = eliminate(observe(0.9, 0.5, 0.6), PLAN)
    assert (set(result.eliminated), result.remaining, result.is_decided) == ({"2", "3"}, (), True)


def test_a_loss_within_the_tolerance_eliminates_nobody() -> None:
    result = eliminate(observe(0.8, 0.77, 0.8, requests=20_000), PLAN)
    assert (result.eliminated, result.remaining) == ({}, ("3", "2"))


def test_the_best_is_known_once_no_other_can_be_better_by_more_than_is_tolerated() -> None:
    assert not eliminate(observe(0.7, 0.8, 0.81, requests=200), PLAN).is_decided
    result = eliminate(observe(0.7, 0.8, 0.81, requests=5000), PLAN)
    assert (result.eliminated, result.remaining[0], result.is_decided) == ({}, "3", True)


def test_at_the_end_of_the_step_the_best_so_far_is_taken_and_of_equal_ones_the_lowest_version() -> None:
    assert eliminate(observe(0.7, 0.7, 0.72, requests=100, minutes=100), PLAN).remaining == ("3", "2")
    equal = observe(0.7, 0.72, 0.72, requests=100, minutes=100)
    named = replace(equal, candidates=("10", "9"))
    result = eliminate(named, PLAN)
    assert (result.remaining, result.is_decided) == (("9", "10"), True)


def test_a_request_that_a_shadow_did_not_answer_counts_for_the_others_only() -> None:
    observed = observe(0.8, 0.8, 0.5)
    scores = observed.scores.copy()
    scores[:400, 1] = np.nan
    losses = eliminate(replace(observed, scores=scores), PLAN).losses
    assert {(loss.candidate, loss.other): loss.requests for loss in losses} == {
        ("2", "1"): 600,
        ("2", "3"): 600,
        ("3", "1"): 1000,
        ("3", "2"): 600,
    }


def test_one_shadow_is_compared_as_in_its_rollout() -> None:
    """Unless requests of one key depend on each other."""
    observed = observe(0.8, 0.78)
    losses = observed.scores[:, 0] - observed.scores[:, 1]
    rollout = RolloutEvidence(make_arm(1000), make_arm(1000), 10, losses=losses)
    alone = sequential_harms(rollout, PLAN)[0].interval
    assert interval(eliminate(observed, PLAN), "2", "1") == pytest.approx(alone)


def test_every_further_shadow_widens_the_intervals() -> None:
    two, three = (eliminate(observe(*([0.8] + [0.7] * shadows)), PLAN) for shadows in (1, 2))
    (low, high), (lower, higher) = interval(two, "2", "1"), interval(three, "2", "1")
    assert lower < low < high < higher


def test_requests_of_few_keys_show_less_than_as_many_of_different_keys() -> None:
    """On one key in five the shadow is always wrong."""
    observed = observe(1.0, 0.8)
    few = replace(observed, keys=[str(int(right * 4)) for right in observed.scores[:, 1]])
    assert eliminate(observed, PLAN).eliminated
    assert not eliminate(few, PLAN).eliminated


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(0, 60))
def test_the_losses_of_a_pair_mirror_each_other_and_hold_their_mean(seed: int, shadows: int, requests: int) -> None:
    rng = np.random.default_rng(seed)
    scores: Floats = rng.integers(0, 5, (requests, 1 + shadows)) / 4
    versions = tuple(str(number) for number in range(2, 2 + shadows))
    keys = [str(key) for key in rng.integers(0, 10, requests)]
    result = eliminate(ShadowScores("1", versions, scores, keys, 1), PLAN)
    losses = {(loss.candidate, loss.other): loss for loss in result.losses}
    assert len(losses) == shadows**2
    for (candidate, other), loss in losses.items():
        low, high = loss.interval
        assert -1 <= low <= high <= 1
        if other != "1":
            mirrored = losses[other, candidate]
            assert (mirrored.mean, mirrored.interval) == (-loss.mean, (-high, -low))
    assert set(result.remaining) | result.eliminated.keys() == set(versions)


def test_all_but_the_best_lose_once_it_is_known() -> None:
    assert losing_versions(observe(0.8, 0.8, 0.8, requests=0), PLAN, 2) == {}
    lost = losing_versions(observe(0.8, 0.9, 0.6, 0.8, minutes=PLAN.max_minutes), PLAN, 3)
    assert set(lost) == {"3", "4"}
    assert "below that of version 1" in lost["3"]
    assert lost["4"] == "Version 2 of the same run is the best, as far as 1000 labels tell."


def test_all_lose_if_all_are_worse_than_the_champion() -> None:
    assert set(losing_versions(observe(0.9, 0.5, 0.6), PLAN, 2)) == {"2", "3"}


def test_candidates_that_are_gone_keep_their_share_of_the_error() -> None:
    observed = observe(0.8, 0.82, 0.78)
    alone, of_four = (interval(eliminate(observed, PLAN, started), "3", "2") for started in (2, 4))
    assert of_four[0] < alone[0] < alone[1] < of_four[1]
