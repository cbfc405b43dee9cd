"""Slates: several actions in positions, their propensities, and what is learned from each position."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.base import Asked, Decoded, Rejected
from models.decision import Decision
from models.decision.exploration import PARTS, Exploration
from models.decision.guardrails import capped_parts, caps_of
from models.decision.train import train
from models.decision.training.log_reader import read
from models.decision.training.network import untrained
from models.decision.training.policy_gradient import PolicyFittingPlan
from models.training import evaluate_off_policy
from tests.models.decision import logs

LOGITS = np.array([2.0, 1.0, 0.0, 9.0], np.float32)
UNIFORM = (0.8 + 0.2 * 0.25) / 3 + 2 / 3 * (0.2 + (0.8 + 0.2) / 2 * 0.5)
BEST = 0.8 + 0.2 * 0.25


@pytest.fixture
def task(tmp_path: Path) -> Decision:
    return logs.task(tmp_path)


def choose(task: Decision, count: int, **request: Any) -> list[Decoded]:
    """Return so many decisions on one request, with scores that differ by action."""
    features = task.preprocess(logs.payload("x", **request))
    outputs = {
        "logits": np.tile(LOGITS, (count, 1)),
        "rewards": np.tile(np.array([0.1, 0.5, 0.9, 0.0], np.float32), (count, 1)),
    }
    return task.decode(outputs, [Asked(f"decision:{number}", features) for number in range(count)])


def test_a_slate_has_distinct_actions_and_the_exact_propensity_of_each_position(task: Decision) -> None:
    count = 20_000
    made = choose(task, count, positions=2)
    exact = {}
    for first, second in permutations(range(3), 2):
        left = np.ones(3, np.float32)
        left[first] = 0
        given = [
            capped_parts(Exploration(), LOGITS[:3], caps)[place] / PARTS
            for caps, place in ((np.ones(3, np.float32), first), (left, second))
        ]
        exact["abc"[first], "abc"[second]] = given
    assert sum(np.prod(given) for given in exact.values()) == pytest.approx(1.0, abs=1e-15)
    for decoded in made:
        given = exact[tuple(decoded.output["slate"])]
        assert decoded.output["propensities"] == given
        assert decoded.propensity == given[0] * given[1]
        assert decoded.output["action"] == decoded.output["slate"][0]
    for slate, given in exact.items():
        frequency = np.mean([tuple(decoded.output["slate"]) == slate for decoded in made])
        probability = float(np.prod(given))
        assert frequency == pytest.approx(probability, abs=4 * np.sqrt(probability / count))


def test_the_first_position_is_the_single_decision_and_the_confidence_the_mean(task: Decision) -> None:
    for alone, slate in zip(choose(task, 50), choose(task, 50, positions=3), strict=True):
        assert slate.output["action"] == alone.output["action"]
        assert slate.output["probabilities"] == alone.output["probabilities"]
        assert slate.output["propensities"][2] == 1.0
        assert slate.confidence == pytest.approx(0.5)


def test_a_slate_keeps_to_the_mask_and_needs_enough_allowed_actions(task: Decision) -> None:
    for decoded in choose(task, 100, positions=2, forbidden=["a"]):
        assert set(decoded.output["slate"]) == {"b", "c"}
    with pytest.raises(Rejected, match="a slate of 3 needs as many allowed actions, and there are 2") as refusal:
        choose(task, 1, positions=3, forbidden=["a"])
    assert refusal.value.code == "too_few_allowed"


def test_each_position_is_a_decision_among_what_is_left(task: Decision, tmp_path: Path) -> None:
    [row] = logs.slates(task, 1, 0)
    output, rewards = json.loads(row["output"]), json.loads(row["position_rewards"])
    first, second = read(logs.write([row], tmp_path / "log"))
    assert (first.position, second.position) == (1, 2)
    assert ["abc"[decision.chosen] for decision in (first, second)] == output["slate"]
    assert [first.propensity, second.propensity] == output["propensities"]
    assert [first.reward, second.reward] == rewards
    assert caps_of(first.features).tolist() == [1, 1, 1]
    assert caps_of(second.features)[first.chosen] == 0


def test_a_position_without_a_reward_earned_nothing_and_a_reward_of_all_says_nothing(
    task: Decision, tmp_path: Path
) -> None:
    part, none, whole = logs.slates(task, 3, 0)
    part["position_rewards"] = "[0.5]"
    none |= {"position_rewards": None, "reward": 0.0}
    whole |= {"position_rewards": None, "reward": 0.7}
    found = [decision.reward for decision in read(logs.write([part, none, whole], tmp_path / "log"))]
    assert found == [0.5, 0.0, 0.0, 0.0]


def test_versions_are_valued_by_the_slate_and_learn_from_each_position(task: Decision, tmp_path: Path) -> None:
    log = logs.write(logs.slates(task, 3_000, 1), tmp_path / "log")
    trained = train(task, log, None, 0, lambda *_: None, PolicyFittingPlan(least_steps=150, epochs=5))
    assert trained.card["decisions"]["train"] == 2 * 2_400
    paths = [tmp_path / "learnt.onnx", tmp_path / "uniform.onnx"]
    paths[0].write_bytes(trained.model)
    paths[1].write_bytes(untrained(task.schema).to_onnx().SerializeToString())
    again = logs.write(logs.slates(task, 4_000, 2), tmp_path / "again")
    learnt, uniform = evaluate_off_policy(task, again, paths, 0, lambda *_: None)
    assert (uniform.count, uniform.unit, uniform.doubts) == (4_000, "slate", ())
    for estimate in uniform.estimates.values():
        low, high = estimate.interval(0.99)
        assert low < UNIFORM < high
    assert uniform.estimates["dr"].standard_error < uniform.estimates["ips"].standard_error
    assert learnt.estimate.minus(uniform.estimate).interval()[0] > 0
    assert learnt.estimate.value < BEST + 0.05


def test_slates_of_one_entity_widen_the_interval(task: Decision, tmp_path: Path) -> None:
    logged = logs.slates(task, 100, 6)
    several = [{**row, "entity": f"user {number}"} for number, row in enumerate(logged) for _ in range(9)]
    (tmp_path / "uniform.onnx").write_bytes(untrained(task.schema).to_onnx().SerializeToString())
    once, repeated = (
        evaluate_off_policy(task, logs.write(log, tmp_path / name), [tmp_path / "uniform.onnx"], 0, lambda *_: None)[0]
        for name, log in (("once", logged), ("repeated", several))
    )
    assert (once.count, repeated.count) == (100, 900)
    for name in ("ips", "snips"):
        assert repeated.estimates[name].value == pytest.approx(once.estimates[name].value)
        assert repeated.estimates[name].standard_error == pytest.approx(once.estimates[name].standard_error)
