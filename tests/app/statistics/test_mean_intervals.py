"""Intervals of a mean on dependent and on skewed data, whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from app.statistics.mean_intervals import bounded_mean_low, clustered_mean
from models.off_policy import Floats

Sample = tuple[Floats, list[int]]


def test_intervals_contain_the_population_mean_if_one_half_is_selected_ten_times_as_often() -> None:
    held = unweighted = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rare = rng.random(2000) < 0.5
        everything = np.where(rare, 0.9, 0.3) + rng.normal(0, 0.1, 2000)
        chosen = rng.random(2000) < np.where(rare, 0.05, 0.5)
        values, weights = everything[chosen], np.where(rare, 20.0, 2.0)[chosen]
        _, (low, high) = clustered_mean(values, weights, range(len(values)), 0.95)
        held += low <= 0.6 <= high
        _, (low, high) = clustered_mean(values, np.ones(len(values)), range(len(values)), 0.95)
        unweighted += low <= 0.6 <= high
    assert held / 200 >= 0.92
    assert unweighted == 0


def test_without_clusters_and_weights_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 50)
    mean, interval = clustered_mean(values, np.full(50, 3.0), range(50), 0.95)
    assert mean == pytest.approx(values.mean())
    assert interval == pytest.approx(stats.t.interval(0.95, 49, values.mean(), stats.sem(values)))


def test_one_cluster_tells_nothing_of_others() -> None:
    assert clustered_mean(np.array([1.0, 1.0]), np.ones(2), ["a", "a"], 0.95) == (1.0, (-np.inf, np.inf))


def make_clusters(count: int, size: int) -> Callable[[np.random.Generator], Sample]:
    """Return samples of mean 0 whose clusters differ with a standard deviation of 0.05."""

    def draw(rng: np.random.Generator) -> Sample:
        clusters = np.repeat(np.arange(count), size)
        return rng.normal(0, 0.05, count)[clusters] + rng.normal(0, 0.1, count * size), clusters.tolist()

    return draw


@pytest.mark.parametrize(
    ("draw", "by_cluster", "by_value"),
    [(make_clusters(5, 60), 0.05, 0.15), (make_clusters(20, 50), 0.05, 0.1), (make_clusters(100, 10), 0.05, 0.02)],
    ids=["5 x 60", "20 x 50", "100 x 10"],
)
def test_clustered_values_exceed_0_by_chance_as_rarely_as_nominal(
    draw: Callable[[np.random.Generator], Sample], by_cluster: float, by_value: float
) -> None:
    """The nominal rate is 0.025: 400 samples of each kind have 0.028 to 0.033, 50 and 5 times as many by value."""
    samples = [draw(np.random.default_rng(seed)) for seed in range(400)]
    lows = [clustered_mean(values, np.ones(len(values)), clusters, 0.95)[1][0] for values, clusters in samples]
    naive = [clustered_mean(values, np.ones(len(values)), range(len(values)), 0.95)[1][0] for values, _ in samples]
    assert np.mean(np.array(lows) > 0) <= by_cluster
    assert np.mean(np.array(naive) > 0) >= by_value


@pytest.mark.parametrize("count", [20, 100, 300])
def test_rare_losses_that_no_value_shows_are_reckoned_with(count: int) -> None:
    """98 % gain 0.01 and 2 % lose 0.49, so that the mean is 0: Student's t takes many for better."""
    bounded = student = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = np.where(rng.random(count) < 0.02, -0.49, 0.01)
        bounded += bounded_mean_low(values, np.ones(count), -1.0, 0.95, rng) > 0
        student += clustered_mean(values, np.ones(count), range(count), 0.95)[1][0] > 0
    assert bounded <= 2
    assert student >= 3, "2.5 are expected"


@pytest.mark.parametrize(("ones", "count"), [(0, 10), (7, 20), (95, 100)])
def test_of_zeros_and_ones_the_lower_end_is_that_of_clopper_and_pearson(ones: int, count: int) -> None:
    values = np.repeat([1.0, 0.0], [ones, count - ones])
    low = bounded_mean_low(values, np.ones(count), 0.0, 0.9, np.random.default_rng(0))
    exact = stats.binomtest(ones, count).proportion_ci(0.9, "exact").low
    assert low == pytest.approx(exact, abs=0.01)
