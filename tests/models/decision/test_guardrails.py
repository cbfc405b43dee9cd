"""Masks and caps: what a decision may choose, and with which probability."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import tensors
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

IDS = ["a", "b", "c"]
EXPLORATIONS = st.sampled_from([Exploration(), Exploration(floor=0.0), Exploration("epsilon-greedy", epsilon=0.0)])
arrays = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.lists(st.floats(-20, 20, width=32), min_size=count, max_size=count),
        st.lists(st.sampled_from([0.0, 0.01, 0.3, 0.9, 1.0]), min_size=count, max_size=count),
    )
)


@pytest.fixture
def task(tmp_path: Path) -> Decision:
    return logs.task(tmp_path)


def choose(task: Decision, count: int, **mask: Any) -> list[Decoded]:
    """Return so many decisions on one request, with scores that differ by action."""
    features = task.preprocess(logs.payload("x", **mask))
    logits = np.tile(np.array([2.0, 1.0, 0.0, 9.0], np.float32), (count, 1))
    asked = [Asked(f"decision:{number}", features) for number in range(count)]
    return task.decode({"logits": logits, "rewards": np.zeros_like(logits)}, asked)


@pytest.mark.parametrize(
    "mask", [{"allowed": ["b", "c"]}, {"forbidden": ["a"]}, {"allowed": ["a", "b", "c"], "forbidden": ["a", "z"]}]
)
def test_a_masked_action_has_no_probability_and_the_others_have_exactly_all(
    task: Decision, mask: dict[str, list[str]]
) -> None:
    made = choose(task, 4_000, **mask)
    probabilities = made[0].output["probabilities"]
    alone = Exploration().parts(np.array([1.0, 0.0], np.float32)) / PARTS
    assert probabilities == {"a": 0.0, "b": alone[0], "c": alone[1]}
    frequency = np.mean([one.output["action"] == "b" for one in made])
    assert frequency == pytest.approx(alone[0], abs=4 * np.sqrt(alone[0] * alone[1] / 4_000))
    assert {one.output["action"] for one in made} == {"b", "c"}
    assert all(one.propensity == probabilities[one.output["action"]] for one in made)


def test_a_mask_that_forbids_nothing_leaves_the_request_as_it_is(task: Decision) -> None:
    plain = task.preprocess(logs.payload("x"))
    masks: list[dict[str, list[str]]] = [{"allowed": IDS}, {"forbidden": []}, {"forbidden": ["z"]}]
    for mask in masks:
        assert {name: tensor.tobytes() for name, tensor in task.preprocess(logs.payload("x", **mask)).items()} == {
            name: tensor.tobytes() for name, tensor in plain.items()
        }


@pytest.mark.parametrize("mask", [{"allowed": []}, {"forbidden": IDS}, {"allowed": ["a"], "forbidden": ["a"]}])
def test_a_request_that_allows_nothing_is_refused_with_the_reason(task: Decision, mask: dict[str, list[str]]) -> None:
    with pytest.raises(Rejected, match="leave none of the 3 actions") as refusal:
        task.preprocess(logs.payload("x", **mask))
    assert refusal.value.code == "nothing_allowed"


def test_an_action_has_at_most_the_share_that_the_task_gives_to_it(tmp_path: Path) -> None:
    capped = logs.task(tmp_path, max_shares={"a": 0.25})
    made = choose(capped, 4_000)
    probabilities = made[0].output["probabilities"]
    assert probabilities["a"] == pytest.approx(0.25, abs=1e-6)
    free = Exploration().parts(np.array([2.0, 1.0, 0.0], np.float32)) / PARTS
    assert probabilities["b"] / probabilities["c"] == pytest.approx(free[1] / free[2], abs=1e-6)
    assert np.mean([one.output["action"] == "a" for one in made]) == pytest.approx(0.25, abs=0.03)
    with pytest.raises(Rejected, match=r"at most 0\.25 of the probability") as refusal:
        choose(capped, 1, allowed=["a"])
    assert refusal.value.code == "too_little_allowed"
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        Decision(max_shares={"a": 1.5})


@given(arrays, EXPLORATIONS)
def test_caps_hold_and_probabilities_sum_to_one_exactly(
    given_: tuple[list[float], list[float]], exploration: Exploration
) -> None:
    logits, caps = np.array(given_[0], np.float32), np.array(given_[1], np.float32)
    if not caps.any():
        return
    parts = capped_parts(exploration, logits, caps)
    assert parts.sum() == PARTS
    assert (parts >= 0).all()
    assert (parts[caps == 0] == 0).all()
    if caps.sum() >= 1:
        assert (parts <= caps * np.float64(PARTS) + 1).all()
    if not ((caps > 0) & (caps < 1)).any():
        np.testing.assert_array_equal(parts[caps == 1], exploration.parts(logits[caps == 1]))


def test_the_least_probability_is_that_of_the_allowed_actions() -> None:
    task = Decision(floor=0.4)
    output = {"action": "a", "probabilities": {"a": 0.25, "b": 0.75, "c": 0.0}}
    assert task.at_minimum_propensity(Decoded(output, 0.5, 0.25))
    assert not task.at_minimum_propensity(Decoded(output, 0.5, 0.75))


def test_a_label_of_a_forbidden_action_is_ignored_and_a_choice_of_one_left_out(task: Decision, tmp_path: Path) -> None:
    labelled, chosen = [row for row in logs.masked(task, 20, 0) if "caps" in row["tensors"]][:2]
    for row, field in ((labelled, "label"), (chosen, "output")):
        caps = caps_of(tensors.decode(row["features"], row["tensors"]))
        row[field] = json.dumps({"action": IDS[int(caps.argmin())]})
    [found] = read(logs.write([labelled, chosen], tmp_path / "log"))
    assert (found.label, np.count_nonzero(caps_of(found.features))) == (None, 2)


def test_masked_decisions_are_valued_and_learned_from_under_their_masks(task: Decision, tmp_path: Path) -> None:
    plan = PolicyFittingPlan(least_steps=150, epochs=5)
    log = logs.write(logs.masked(task, 3_000, 1), tmp_path / "log")
    trained = train(task, log, None, 0, lambda *_: None, plan)
    paths = [tmp_path / "learnt.onnx", tmp_path / "uniform.onnx"]
    paths[0].write_bytes(trained.model)
    paths[1].write_bytes(untrained(task.schema).to_onnx().SerializeToString())
    again = logs.write(logs.masked(task, 4_000, 2), tmp_path / "again")
    learnt, uniform = evaluate_off_policy(task, again, paths, 0, lambda *_: None)
    truth = (0.4 + 0.2) / 2  # half of the requests forbid what is right
    assert uniform.doubts == ()
    for estimate in uniform.estimates.values():
        assert estimate.value == pytest.approx(truth, abs=0.03)
    assert truth + 0.05 < learnt.estimate.value < (0.8 + 0.2) / 2 + 0.03
