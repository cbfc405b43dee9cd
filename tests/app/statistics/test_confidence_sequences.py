"""Confidence sequences contain the truth at all looks together, and find real differences."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.statistics import confidence_sequences
from models.off_policy import Floats

ALPHA = 0.2
RUNS = 400
MISSED_BY_CHANCE = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
"""Three standard errors above the maximum rate of misses."""

in_unit_interval = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1))


def draw_scores(seed: int, count: int, mean: float = 0.7) -> Floats:
    """Return many perfect scores and others anywhere, as far from a normal distribution as those of OCR."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < 2 * mean - 1, 1.0, rng.random(count))


def an_ordinary_interval_misses(values: Floats, truth: float) -> bool:
    count = np.arange(10, len(values) + 1)
    means, squares = np.cumsum(values)[9:] / count, np.cumsum(np.square(values))[9:] / count
    return bool(np.any(np.abs(means - truth) > 1.28 * np.sqrt((squares - np.square(means)) / count)))


def test_mean_intervals_miss_at_most_at_the_rate_alpha_with_a_look_after_every_value() -> None:
    missed = ordinary = 0
    for seed in range(RUNS):
        values = draw_scores(seed, 1000)
        low, high = confidence_sequences.mean_interval(values, ALPHA)
        missed += bool(np.any((low > 0.7) | (high < 0.7)))
        ordinary += an_ordinary_interval_misses(values, 0.7)
    assert missed / RUNS <= MISSED_BY_CHANCE
    assert ordinary / RUNS > 2 * MISSED_BY_CHANCE, "the looks are many enough to fool an interval that is for one"


@pytest.mark.parametrize("truth", [0.02, 0.4])
def test_rate_intervals_miss_at_most_at_the_rate_alpha_with_a_look_after_every_event(truth: float) -> None:
    missed = 0
    for seed in range(RUNS):
        hits = np.cumsum(np.random.default_rng(seed).random(200) < truth)
        intervals = [
            confidence_sequences.rate_interval(int(hits[count]), count + 1, ALPHA) for count in range(0, 200, 5)
        ]
        missed += any(not low <= truth <= high for low, high in intervals)
    assert missed / RUNS <= MISSED_BY_CHANCE


@pytest.mark.parametrize("level", [0.5, 0.99])
def test_quantile_intervals_miss_at_most_at_the_rate_alpha_with_repeated_looks(level: float) -> None:
    missed = 0
    for seed in range(RUNS):
        values = np.random.default_rng(seed).random(1000)
        intervals = [
            confidence_sequences.quantile_interval(values[:count], level, ALPHA) for count in range(1, 1000, 20)
        ]
        missed += any(not low <= level <= high for low, high in intervals)
    assert missed / RUNS <= MISSED_BY_CHANCE


def test_asymptotic_intervals_miss_at_most_at_the_rate_alpha_with_a_look_after_every_value() -> None:
    missed, count = 0, np.arange(1, 2001)
    for seed in range(RUNS):
        values = draw_scores(seed, 2000)
        means = np.cumsum(values) / count
        errors = np.sqrt((np.cumsum(np.square(values)) / count - np.square(means) + 0.25 / count) / count)
        reaches = [confidence_sequences.asymptotic_reach(error, ALPHA, 0.01) for error in errors[20:].tolist()]
        missed += bool(np.any(np.abs(means[20:] - 0.7) > reaches))
    assert missed / RUNS <= MISSED_BY_CHANCE


@given(st.floats(1e-6, 10), st.floats(0.0001, 0.3), st.floats(0.001, 0.1))
def test_an_asymptotic_interval_is_wider_than_one_for_one_look_and_the_narrowest_at_its_best(
    error: float, alpha: float, best_error: float
) -> None:
    relative = confidence_sequences.asymptotic_reach(error, alpha, best_error) / error
    assert relative > NormalDist().inv_cdf(1 - alpha / 2)
    at_best = confidence_sequences.asymptotic_reach(best_error, alpha, best_error) / best_error
    assert at_best <= relative * 1.02


@given(in_unit_interval, st.sampled_from([0.5, 0.9]), st.floats(0.01, 0.2))
def test_a_quantile_of_counted_values_is_that_of_the_values(values: Floats, level: float, alpha: float) -> None:
    distinct, counts = np.unique(values, return_counts=True)
    counted = confidence_sequences.quantile_interval(distinct, level, alpha, counts.astype(np.float64))
    assert counted == confidence_sequences.quantile_interval(values, level, alpha)


def test_equal_arms_differ_at_most_at_the_rate_alpha_and_unequal_ones_nearly_always() -> None:
    apart, found = 0, 0
    for seed in range(RUNS):
        one, equal, worse = (
            draw_scores(seed, 1000),
            draw_scores(seed + RUNS, 1000),
            draw_scores(seed + RUNS, 1000, 0.55),
        )
        apart += any(low > 0 or high < 0 for low, high in difference_intervals(equal, one))
        found += any(high < 0 for _, high in difference_intervals(worse, one))
    assert apart / RUNS <= MISSED_BY_CHANCE
    assert found / RUNS > 0.95


def difference_intervals(one: Floats, other: Floats) -> list[confidence_sequences.Interval]:
    one_low, one_high = confidence_sequences.mean_interval(one, ALPHA / 2)
    other_low, other_high = confidence_sequences.mean_interval(other, ALPHA / 2)
    ends = zip(one_low, one_high, other_low, other_high, strict=True)
    return [confidence_sequences.difference_interval((a, b), (c, d)) for a, b, c, d in ends]


def test_a_drift_shared_by_both_arms_shows_no_difference() -> None:
    rng = np.random.default_rng(0)
    drifting = np.concatenate((np.full(1000, 0.9), np.full(1000, 0.3)))
    one, other = (np.clip(drifting + rng.normal(0, 0.05, 2000), 0, 1) for _ in range(2))
    assert all(low <= 0 <= high for low, high in difference_intervals(one, other))


def test_every_interval_narrows_towards_the_truth() -> None:
    values = draw_scores(0, 20_000)
    low, high = confidence_sequences.mean_interval(values, 0.05)
    for count in (200, 2000, 20_000):
        ordinary = 2 * 1.96 * np.std(values[:count]) / math.sqrt(count)
        assert ordinary < (high - low)[count - 1] < 2.6 * ordinary
    assert low[-1] < 0.7 < high[-1]
    assert confidence_sequences.rate_interval(200, 20_000, 0.05) == pytest.approx((0.01, 0.01), abs=0.004)
    assert confidence_sequences.quantile_interval(values, 0.25, 0.05) == pytest.approx(
        (np.quantile(values, 0.25),) * 2, abs=0.03
    )


@given(in_unit_interval, st.floats(0.001, 0.5))
def test_a_mean_and_its_mirror_image_have_mirrored_intervals(values: Floats, alpha: float) -> None:
    low, high = confidence_sequences.mean_interval(values, alpha)
    mirrored_low, mirrored_high = confidence_sequences.mean_interval(1 - values, alpha)
    assert np.all((low >= 0) & (low <= high) & (high <= 1))
    np.testing.assert_allclose(mirrored_low, 1 - high, atol=1e-9)
    np.testing.assert_allclose(mirrored_high, 1 - low, atol=1e-9)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.0001, 0.5))
def test_a_rate_interval_contains_the_observed_rate_and_mirrors_that_of_the_misses(
    hits: int, misses: int, alpha: float
) -> None:
    low, high = confidence_sequences.rate_interval(hits, hits + misses, alpha)
    assert 0 <= low <= high <= 1
    if hits + misses:
        assert low <= hits / (hits + misses) <= high
    assert confidence_sequences.rate_interval(misses, hits + misses, alpha) == pytest.approx(
        (1 - high, 1 - low), abs=1e-9
    )


@given(in_unit_interval, st.sampled_from([0.01, 0.5, 0.9, 0.99]), st.floats(0.001, 0.2))
def test_a_quantile_lies_around_that_of_the_sample(values: Floats, level: float, alpha: float) -> None:
    low, high = confidence_sequences.quantile_interval(values, level, alpha)
    assert low <= np.quantile(values, level, method="inverted_cdf") <= high


def test_an_empty_observation_explains_what_is_missing() -> None:
    low, high = confidence_sequences.mean_interval(np.empty(0), 0.05)
    assert len(low) == len(high) == 0
    assert confidence_sequences.rate_interval(0, 0, 0.05) == (0.0, 1.0)
    assert confidence_sequences.quantile_interval(np.empty(0), 0.99, 0.05) == (-math.inf, math.inf)
