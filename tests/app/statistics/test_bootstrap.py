"""The weighted bootstrap against a known mean."""

import numpy as np
import pytest

from app.statistics.bootstrap import weighted_mean


def test_intervals_contain_the_population_mean_if_one_half_is_selected_ten_times_as_often() -> None:
    held = unweighted = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        rare = rng.random(2000) < 0.5
        everything = np.where(rare, 0.9, 0.3) + rng.normal(0, 0.1, 2000)
        chosen = rng.random(2000) < np.where(rare, 0.05, 0.5)
        values, weights = everything[chosen], np.where(rare, 20.0, 2.0)[chosen]
        _, (low, high) = weighted_mean(values, weights, 0.95, rng)
        held += low <= 0.6 <= high
        _, (low, high) = weighted_mean(values, np.ones(len(values)), 0.95, rng)
        unweighted += low <= 0.6 <= high
    assert held / 50 >= 0.86
    assert unweighted == 0


def test_the_width_of_the_interval_matches_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 1000)
    mean, (low, high) = weighted_mean(values, np.full(1000, 3.0), 0.95, np.random.default_rng(1))
    assert mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * 0.2 / np.sqrt(1000), rel=0.1)
    assert low < mean < high
