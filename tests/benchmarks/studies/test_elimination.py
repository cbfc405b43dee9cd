"""Short forms of the simulated campaigns; `python -m benchmarks.studies.elimination` is the long one."""

import pytest

from app.settings.rollout import RolloutSettings
from benchmarks.studies import elimination
from benchmarks.studies.elimination import Scenario, run_campaign

PLAN = RolloutSettings()
LADDER = (0.0, 0.02, 0.04, 0.06, 0.08)


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination, "LOOK_GROWTH", 2.0)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario((0.1, 0.0, 0.0), labels=2000),
        Scenario(LADDER, labels=2000),
        Scenario(LADDER, keys=1, labels=2000, new_keys=True),
    ],
    ids=["one is better", "a ladder", "keys that never come again"],
)
def test_the_winner_is_seldom_worse_than_the_best_and_no_good_one_is_eliminated(scenario: Scenario) -> None:
    endings = [run_campaign(scenario, PLAN, seed) for seed in range(10)]
    assert sum(ending.regret > PLAN.max_score_loss for ending in endings) <= 1
    assert not any(ending.eliminated_best for ending in endings)


def test_most_campaigns_with_a_clear_best_are_decided_by_part_of_the_labels() -> None:
    endings = [run_campaign(Scenario((0.15, 0.0, 0.0), labels=3000), PLAN, seed) for seed in range(5)]
    assert sum(ending.in_time for ending in endings) >= 4


def test_equal_shadows_are_not_eliminated_though_requests_of_a_session_depend_on_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With intervals by requests alone, 16 of 60 such campaigns eliminate one."""
    for name, value in {"SUITS_KEYS": 0.2, "SESSION": 20.0, "CHAMPION_SCORE": 0.6, "BETWEEN_KEYS": 0.05}.items():
        monkeypatch.setattr(elimination, name, value)
    scenario = Scenario((0.0,) * 3, keys=1, labels=2000, new_keys=True)
    strict = PLAN.model_copy(update={"max_score_loss": 0.0})
    assert not any(run_campaign(scenario, strict, seed).in_time for seed in range(10))
