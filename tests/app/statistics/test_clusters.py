"""Differences of means of scores that come in clusters."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.statistics.clusters import ClusterSums, between_variance, known_deviations, mean_difference
from models.off_policy import Floats

RUNS = 400
ZIPF = 1 / np.arange(1, 101)


def sum_by_key(keys: NDArray[Any], scores: Floats) -> ClusterSums:
    return ClusterSums.of(
        [
            (str(key), np.sum(keys == key), scores[keys == key].sum(), np.square(scores[keys == key]).sum())
            for key in np.unique(keys)
        ]
    )


def draw(rng: np.random.Generator, count: int, between: float) -> tuple[ClusterSums, ClusterSums]:
    """Return the scores of Zipf keys that are assigned at random to two equal arms."""
    means, arms = 0.7 + between * rng.standard_normal(len(ZIPF)), rng.random(len(ZIPF)) < 0.5
    keys = rng.choice(len(ZIPF), count, p=ZIPF / ZIPF.sum())
    scores = means[keys] + 0.2 * rng.standard_normal(count)
    return sum_by_key(keys[arms[keys]], scores[arms[keys]]), sum_by_key(keys[~arms[keys]], scores[~arms[keys]])


def false_differences(between: float, by_cluster: bool, count: int = 2000) -> float:
    """Return how often equal arms differ by more than 1.96 standard errors."""
    differences = [
        mean_difference(*draw(np.random.default_rng(seed), count, between), by_cluster, 0.0) for seed in range(RUNS)
    ]
    return float(np.mean([abs(one.value) > 1.96 * one.standard_error for one in differences]))


def test_equal_arms_of_different_keys_rarely_differ() -> None:
    assert false_differences(0.1, by_cluster=True) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)
    assert false_differences(0.1, by_cluster=False) > 0.5, "as if each score told something of its own"


def test_clusters_cost_nothing_where_keys_are_alike() -> None:
    arms = draw(np.random.default_rng(0), 5000, 0.0)
    by_key, by_request = (mean_difference(*arms, by_cluster=by_cluster, doubt=0.0) for by_cluster in (True, False))
    assert by_key.standard_error == pytest.approx(by_request.standard_error, rel=0.3)


def test_the_variance_between_keys_is_estimated_whatever_their_traffic_and_rather_above() -> None:
    estimates = [between_variance(draw(np.random.default_rng(seed), 5000, 0.1)) for seed in range(50)]
    assert 0.01 < np.mean(estimates) < 0.015


def test_an_arm_of_one_key_is_as_uncertain_as_the_keys_of_the_other_arm_differ() -> None:
    rng = np.random.default_rng(0)
    champion = sum_by_key(np.repeat(np.arange(40), 100), np.repeat(0.7 + 0.1 * rng.standard_normal(40), 100))
    alone = ClusterSums.of([("one", 100, 70.0, 49.0)])
    assert mean_difference(champion, alone, True, 0.0).standard_error == pytest.approx(0.1, rel=0.3)


def test_two_single_keys_show_nothing() -> None:
    one, other = (ClusterSums.of([(key, 100, 70.0, 50.0)]) for key in "ab")
    assert mean_difference(one, other, True, 0.0).standard_error == math.inf


def test_the_past_of_the_keys_makes_the_difference_more_precise() -> None:
    rng = np.random.default_rng(0)
    means = 0.7 + 0.1 * rng.standard_normal(40)

    def scores_of(keys: NDArray[Any]) -> ClusterSums:
        drawn = np.repeat(keys, 50)
        return sum_by_key(drawn, means[drawn] + 0.1 * rng.standard_normal(len(drawn)))

    past = known_deviations(scores_of(np.arange(40)))
    arms = scores_of(np.arange(20)), scores_of(np.arange(20, 40))
    before = mean_difference(*arms, True, 0.0)
    after = mean_difference(arms[0].less(past), arms[1].less(past), True, 0.0)
    assert after.standard_error < before.standard_error / 3
    assert abs(after.value) < 3 * after.standard_error


def test_a_key_of_which_little_is_known_is_taken_to_be_like_the_others() -> None:
    rows = [(str(key), 200, 200 * mean, 200 * mean**2 + 8) for key, mean in enumerate(np.linspace(0.5, 0.9, 20))]
    past = known_deviations(ClusterSums.of([*rows, ("new", 1, 0.0, 0.0)]))
    assert past["0"].value == pytest.approx(0.5 - 0.7, abs=0.02)
    assert past["0"].spread < 0.05
    assert past["new"].spread > 0.5
    assert abs(past["new"].value) < 0.5


def test_equal_scores_leave_a_doubt() -> None:
    arm = ClusterSums.of([("all", 20, 20.0, 20.0)])
    assert mean_difference(arm, arm, False, 0.25).standard_error == pytest.approx(math.sqrt(2 * 0.25) / 20)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=20), st.floats(-1, 1))
def test_a_shift_of_all_scores_is_no_difference(scores: list[float], shift: float) -> None:
    values = np.array(scores)
    one, other = (sum_by_key(np.arange(len(part)), part) for part in np.array_split(values, 2))
    moved, moved_other = (sum_by_key(np.arange(len(part)), part + shift) for part in np.array_split(values, 2))
    before, after = mean_difference(one, other, True, 0.1), mean_difference(moved, moved_other, True, 0.1)
    assert after.value == pytest.approx(before.value, abs=1e-9)
    assert after.standard_error == pytest.approx(before.standard_error, abs=1e-6)
