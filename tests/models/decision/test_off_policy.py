"""Versions valued on a log whose truth is known."""

from pathlib import Path

import pytest

from app.retraining.pipeline.gate_rewards import check_rewards, gather_reward_evidence
from app.settings.gate import GateSettings
from models.base import Untrainable
from models.datasets import MANIFEST
from models.decision import Decision
from models.decision.training.network import untrained
from models.decision.training.policy_gradient import PolicyFittingPlan
from models.training import evaluate_off_policy
from tests.models.decision.logs import EARNED, episodes, rows, task, write

PLAN = PolicyFittingPlan(least_steps=150, epochs=5)
UNIFORM = (0.8 + 0.2 + 0.2) / 3
BEST = 0.8
LOGGED = 0.2 * 0.8 + 0.8 * 0.2
LOGGED_EPISODE = 0.2 * EARNED["a"] + 0.2 * 0.99 * 0.2 * EARNED["bb"]
UNIFORM_EPISODE = EARNED["a"] / 3 + 0.99 * EARNED["bb"] / 9


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decision, list[Path]]:
    """A policy that has learnt, and the uniform one."""
    from models.decision.train import train

    place = tmp_path_factory.mktemp("versions")
    decision = task(place)
    trained = train(decision, write(rows(decision, 3_000, 1), place / "log"), None, 0, lambda *_: None, PLAN)
    paths = [place / "learnt.onnx", place / "uniform.onnx"]
    paths[0].write_bytes(trained.model)
    paths[1].write_bytes(untrained(decision.schema).to_onnx().SerializeToString())
    return decision, paths


def test_values_come_near_the_truth_and_the_paired_difference_is_significant(
    versions: tuple[Decision, list[Path]], tmp_path: Path
) -> None:
    decision, paths = versions
    log = write(rows(decision, 4_000, 2), tmp_path / "log")
    learnt, uniform = evaluate_off_policy(decision, log, paths, 0, lambda *_: None)
    assert list(learnt.estimates) == ["ips", "snips", "dm", "dr", "switch-dr"]
    for one in uniform.estimates.values():
        assert one.value == pytest.approx(UNIFORM, abs=0.03)
    for name in ("ips", "snips", "dr", "switch-dr"):
        assert UNIFORM < learnt.estimates[name].value < BEST + 0.05
        low, _ = learnt.estimates[name].minus(uniform.estimates[name]).interval()
        assert low > 0
    assert learnt.logged.value == pytest.approx(LOGGED, abs=0.03)
    assert uniform.effective_decisions < 4_000
    assert uniform.doubts == ()


def test_the_same_log_gives_the_same_values(versions: tuple[Decision, list[Path]], tmp_path: Path) -> None:
    decision, paths = versions
    log = write(rows(decision, 200, 3), tmp_path / "log")
    once, again = (evaluate_off_policy(decision, log, paths[:1], 0, lambda *_: None)[0] for _ in range(2))
    assert [one.value for one in once.estimates.values()] == [one.value for one in again.estimates.values()]


def test_episodes_are_valued_by_the_episode_against_their_truth(
    versions: tuple[Decision, list[Path]], tmp_path: Path
) -> None:
    decision, paths = versions
    log = write(episodes(decision, 3_000, 4), tmp_path / "steps")
    learnt, uniform = evaluate_off_policy(decision, log, paths, 0, lambda *_: None)
    assert (uniform.count, uniform.unit, uniform.doubts) == (3_000, "episode", ())
    assert uniform.logged.value == pytest.approx(LOGGED_EPISODE, abs=0.02)
    assert list(uniform.estimates) == ["ips", "snips", "dr"]
    for one in uniform.estimates.values():
        low, high = one.interval(0.99)
        assert low < UNIFORM_EPISODE < high
    assert uniform.estimates["dr"].standard_error < uniform.estimates["ips"].standard_error
    assert learnt.estimate.minus(uniform.estimate).interval()[0] > 0


def test_a_version_that_learned_from_episodes_passes_the_gate_by_rewards_alone_and_one_that_did_not_fails(
    versions: tuple[Decision, list[Path]], tmp_path: Path
) -> None:
    decision, (learnt, uniform) = versions
    held_out = [{**row, "split": "test"} for row in episodes(decision, 1_500, 7)]
    log = write(held_out, tmp_path / "steps")
    (log / MANIFEST).write_text("{}")
    for candidate, champion, passes in ((learnt, uniform, True), (uniform, learnt, False), (uniform, uniform, False)):
        evidence = gather_reward_evidence(decision, log, candidate, champion, lambda *_: None)
        assert evidence is not None
        assert (check_rewards(evidence, GateSettings(), alone=True)[1] is None) == passes


def test_few_whole_episodes_or_rewards_are_refused(versions: tuple[Decision, list[Path]], tmp_path: Path) -> None:
    decision, paths = versions
    with pytest.raises(Untrainable, match="20 episodes have all their rewards"):
        evaluate_off_policy(decision, write(episodes(decision, 20, 1), tmp_path / "steps"), paths, 0, lambda *_: None)
    with pytest.raises(Untrainable, match="at least 30"):
        evaluate_off_policy(decision, write(rows(decision, 20, 1), tmp_path / "few"), paths, 0, lambda *_: None)


def test_episodes_with_unknown_rewards_are_left_out_and_doubted(
    versions: tuple[Decision, list[Path]], tmp_path: Path
) -> None:
    decision, paths = versions
    logged = [
        {**row, "reward": None} if number % 5 == 0 else row for number, row in enumerate(episodes(decision, 400, 5))
    ]
    [value] = evaluate_off_policy(decision, write(logged, tmp_path / "steps"), paths[1:], 0, lambda *_: None)
    assert value.count < 400
    assert any("episodes with an unknown reward" in doubt for doubt in value.doubts)


def test_decisions_of_one_entity_widen_the_interval(versions: tuple[Decision, list[Path]], tmp_path: Path) -> None:
    decision, paths = versions
    logged = rows(decision, 100, 6)
    several = [{**row, "entity": f"user {number}"} for number, row in enumerate(logged) for _ in range(9)]
    once, repeated = (
        evaluate_off_policy(decision, write(log, tmp_path / name), paths[1:], 0, lambda *_: None)[0].estimates["snips"]
        for name, log in (("once", logged), ("repeated", several))
    )
    assert repeated.value == pytest.approx(once.value)
    assert repeated.standard_error == pytest.approx(once.standard_error)
