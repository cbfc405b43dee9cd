"""A histogram has the quantiles of its values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.statistics.histogram import Histogram

values = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@given(values, st.floats(0.001, 1.0))
def test_a_quantile_is_the_least_value_with_as_large_a_share_up_to_it(drawn: list[float], share: float) -> None:
    [found] = Histogram.of(np.array(drawn)).quantiles(np.array([share]))
    assert found in drawn
    assert np.mean(np.array(drawn) <= found) >= share - 1e-9
    assert np.mean(np.array(drawn) < found) < share + 1e-9


@given(values)
def test_equal_values_may_be_counted_or_listed(drawn: list[float]) -> None:
    counted = Histogram(*(part.astype(float) for part in np.unique(drawn, return_counts=True)))
    shares = np.linspace(0.01, 1, 20)
    assert counted.total == len(drawn)
    assert np.array_equal(counted.quantiles(shares), Histogram.of(np.array(drawn)).quantiles(shares))
