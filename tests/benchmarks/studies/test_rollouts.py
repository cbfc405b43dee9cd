"""Short forms of the simulated rollouts; `python -m benchmarks.studies.rollouts` is the long one."""

import pytest

from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE
from app.settings.rollout import RolloutSettings
from benchmarks.studies import rollouts
from benchmarks.studies.rollouts import Scenario, is_wrong_advance, run_rollout

BY_KEY, BY_REQUEST = RolloutSettings(), RolloutSettings(assignment="request")


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "LOOK_GROWTH", 1.5)


@pytest.mark.parametrize("keys", [50, 200, 2000])
@pytest.mark.parametrize("plan", [BY_KEY, BY_REQUEST], ids=["by key", "by request"])
def test_an_equal_canary_is_promoted_though_keys_differ(keys: int, plan: RolloutSettings) -> None:
    endings = [run_rollout(Scenario(keys), plan, seed, 0.05) for seed in range(2)]
    assert [ending.stages[-1] for ending in endings] == [CHAMPION_SHARE] * 2


@pytest.mark.parametrize("keys", [50, 200, 2000])
@pytest.mark.parametrize("plan", [BY_KEY, BY_REQUEST], ids=["by key", "by request"])
def test_a_worse_canary_does_not_get_far(keys: int, plan: RolloutSettings) -> None:
    scenario = Scenario(keys, loss=0.05)
    endings = [run_rollout(scenario, plan, seed, 0.05) for seed in range(2)]
    assert [ending.stages[-1] for ending in endings] == [SHADOW_SHARE] * 2
    assert not any(is_wrong_advance(ending, scenario, plan) for ending in endings)


def test_a_worse_shadow_never_answers_even_if_few_requests_are_labelled() -> None:
    for seed in range(2):
        assert run_rollout(Scenario(200, loss=0.05, labelled=0.1), BY_KEY, seed).stages == (0, 0)
