"""The study of the Open Bandit data."""

import numpy as np
import pytest

from benchmarks.studies.open_bandit import _estimate_positions
from models.decision.data.open_bandit import Impression


def test_each_position_is_estimated_by_its_own_impressions() -> None:
    positions, clicks, weights = "123123", np.array([1.0, 0, 0, 0, 0, 1]), np.array([3.0, 1, 1, 1, 1, 3])
    impressions = [Impression({"context": {"position": position}}, "a", 0.1, False) for position in positions]
    found = {name: estimate.value for name, _, estimate in _estimate_positions(impressions, clicks, weights)}
    assert found == {
        "learned from random, position 1": pytest.approx(0.75),
        "learned from random, position 2": 0.0,
        "learned from random, position 3": pytest.approx(0.75),
    }
