"""Rewards of seldom served outputs weigh more, within a bound, and are compared with the mean reward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.nn.reward_weights import CLIP, baseline, weight


@given(st.floats(1e-300, 1.0))
def test_an_output_weighs_by_how_seldom_it_is_served_within_a_bound(propensity: float) -> None:
    assert 1.0 <= weight(propensity) <= CLIP
    assert weight(propensity) == pytest.approx(1 / propensity) or weight(propensity) == CLIP


def test_the_baseline_is_the_self_normalised_mean() -> None:
    assert baseline([1.0, -1.0], [1.0, 3.0]) == -0.5
    assert baseline([0.4, 0.4, 0.4], [1.0, 2.0, 0.5]) == pytest.approx(0.4)
    assert baseline([], []) == 0.0
