"""The intervals of slates' values."""

import pytest

from benchmarks.studies.slate_coverage import SCENARIOS, SlateScenario, measure


@pytest.mark.parametrize("scenario", SCENARIOS[:2], ids=lambda scenario: scenario.name)
def test_intervals_hold_the_truth_though_the_slates_of_a_user_depend_on_one_another(scenario: SlateScenario) -> None:
    coverage = measure(scenario, 200, 1)
    assert 0.9 <= coverage.covered <= 0.99
    assert coverage.doubted < 0.2
