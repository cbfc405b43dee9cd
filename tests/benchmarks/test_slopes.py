"""The cost of an event is a line over its size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.slopes import fit_line, fit_stages

COSTS = st.floats(-10, 10)


@given(fixed=COSTS, slope=COSTS, sizes=st.lists(st.integers(0, 500), min_size=2, max_size=6, unique=True))
def test_a_line_is_found_again(fixed: float, slope: float, sizes: list[int]) -> None:
    found = fit_line(sizes, [fixed + slope * size / 1000 for size in sizes])
    assert (found.fixed_ms, found.us_per_kb) == pytest.approx((fixed, slope), abs=1e-6)


def test_a_drift_of_the_machine_is_an_error_and_no_slope_if_sizes_return_in_reverse_order() -> None:
    line = fit_line([8, 104, 104, 8], [1.3, 1.2, 1.1, 1.0])
    assert line.us_per_kb == pytest.approx(0, abs=1e-9)
    assert line.fixed_ms == pytest.approx(1.15)
    assert line.us_per_kb_error > 1


def test_one_size_has_no_slope() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit_line([8, 8], [1.0, 1.1])


def test_the_lines_of_the_stages_add_up_to_that_of_their_sum() -> None:
    by_stage = [{"kafka": 1.0, "worker": 2.0}, {"kafka": 1.5, "worker": 2.0}, {"kafka": 2.6}]
    lines = fit_stages([8, 40, 104], by_stage)
    total = fit_line([8, 40, 104], [sum(costs.values()) for costs in by_stage])
    assert sum(line.fixed_ms for line in lines.values()) == pytest.approx(total.fixed_ms)
    assert sum(line.us_per_kb for line in lines.values()) == pytest.approx(total.us_per_kb)
