"""What an event costs is what the platform uses beyond rest."""

import pytest

from benchmarks.resource_usage import CoreUsage
from benchmarks.stage_costs import cores_at_rate, cost_of_load

REST = CoreUsage(60, {"kafka": 0.1, "api": 0.05}, others=0.0)


def test_the_rest_is_not_part_of_the_cost_of_an_event() -> None:
    costs = cost_of_load([CoreUsage(20, {"kafka": 0.6, "api": 0.05}, others=0.0)], REST, 1000)
    assert costs.by_stage == pytest.approx({"kafka": 10.0, "api": 0.0})


def test_loads_of_different_lengths_add_up() -> None:
    short, long = CoreUsage(1, {"kafka": 1.1}, others=0.0), CoreUsage(9, {"kafka": 0.1}, others=0.0)
    assert cost_of_load([short, long], REST, 100).total == pytest.approx(10.0)


def test_the_cores_at_a_rate_include_the_rest() -> None:
    costs = cost_of_load([CoreUsage(20, {"kafka": 0.6}, others=0.0)], REST, 1000)
    assert cores_at_rate(REST, costs, 50) == pytest.approx(0.15 + 0.5)
