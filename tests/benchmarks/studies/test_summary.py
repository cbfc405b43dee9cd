import numpy as np
import pytest

from benchmarks.studies.summary import MeanInterval, mean_and_half_width


def test_a_mean_has_student_s_interval() -> None:
    mean, half = mean_and_half_width(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert half == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)


def test_an_interval_over_seeds_is_student_s() -> None:
    interval = MeanInterval.from_values([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3.0
    assert interval.half == pytest.approx(2.776 * np.sqrt(2.5 / 5), rel=1e-3)
