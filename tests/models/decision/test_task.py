"""The task's contract: what it imports, pads, decodes, accepts as a correction and how it scores."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Asked, Decoded, Rejected
from models.decision import Decision
from models.decision.data import simulator
from models.decision.request import MAX_ACTIONS, PADDED_COUNTS

TASK = Decision()
counts = st.lists(st.integers(simulator.MIN_OFFERS, simulator.MAX_OFFERS), min_size=1, max_size=8)


def asked(number: int) -> Asked:
    """Some visitor's request."""
    sample = simulator.sample(simulator.visit(np.random.default_rng(number)), "visit")
    return Asked(f"decision:{number}", TASK.preprocess(sample.payload))


def decoded(some: list[Asked], seed: int = 0, task: Decision = TASK) -> list[Decoded]:
    """What is made of random scores, padded."""
    rng = np.random.default_rng(seed)
    shape = (len(some), 16)
    logits = rng.normal(0, 2, shape).astype(np.float32)
    return task.decode({"logits": logits, "rewards": rng.random(shape).astype(np.float32)}, some)


def test_serving_needs_none_of_the_training_libraries() -> None:
    heavy = "{'jax', 'optax', 'onnx', 'sklearn', 'matplotlib', 'pandas', 'scipy', 'pyarrow', 'app'}"
    code = (
        "import sys; from models.decision import Decision; task = Decision(); sample = task.samples()[0];"
        "task.preprocess(sample.payload); next(task.demonstration(0)); next(task.held_out());"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.integers(1, MAX_ACTIONS))
def test_actions_are_padded_to_the_next_step(count: int) -> None:
    padded = TASK.padded({"context": (12,), "actions": (count, 8)})
    assert padded == {"context": (12,), "actions": (min(step for step in PADDED_COUNTS if step >= count), 8)}


def test_the_model_is_given_neither_the_ids_nor_the_step() -> None:
    payload = json.loads(TASK.samples()[0].payload)
    alone, in_episode = (
        TASK.preprocess(json.dumps(payload | more).encode()) for more in ({}, {"episode_id": "walk", "step": 3})
    )
    assert in_episode.keys() - alone.keys() == {"episode", "step"}
    for features in (alone, in_episode):
        assert list(TASK.inputs(features)) == ["context", "actions"]


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_what_later_rewards_are_worth_is_a_share(gamma: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Decision(gamma=gamma)
    assert [Decision(gamma=bound).gamma for bound in (0, 1)] == [0, 1]


@pytest.mark.parametrize("half_life", [0, -1.0, float("nan")])
def test_a_half_life_is_a_number_of_decisions(half_life: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Decision(half_life=half_life)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8), st.integers(0, 100))
def test_a_decision_is_one_of_the_actions_at_hand_with_its_probability(numbers: list[int], seed: int) -> None:
    some = [asked(number) for number in numbers]
    for one, made in zip(some, decoded(some, seed), strict=True):
        probabilities = made.output["probabilities"]
        assert len(probabilities) == len(one.features["actions"])
        assert sum(probabilities.values()) == 1.0
        assert made.propensity == probabilities[made.output["action"]] > 0
        assert 0.0 <= made.confidence <= 1.0


def test_the_same_prediction_made_again_is_the_same() -> None:
    some = [asked(number) for number in range(5)]
    assert decoded(some) == decoded(some)


def test_other_predictions_of_the_same_request_explore() -> None:
    features = asked(3).features
    some = [Asked(f"decision:{number}", features) for number in range(200)]
    zeros = np.zeros((200, 16), np.float32)
    chosen = {made.output["action"] for made in TASK.decode({"logits": zeros, "rewards": zeros}, some)}
    assert len(chosen) == len(features["actions"])


def test_a_logged_propensity_is_the_frequency_of_the_action() -> None:
    features = asked(3).features
    count = 20_000
    some = [Asked(f"decision:{number}", features) for number in range(count)]
    logits = np.tile(np.random.default_rng(1).normal(0, 1, 16).astype(np.float32), (count, 1))
    made = TASK.decode({"logits": logits, "rewards": np.zeros((count, 16), np.float32)}, some)
    for action, probability in made[0].output["probabilities"].items():
        frequency = np.mean([one.output["action"] == action for one in made])
        assert frequency == pytest.approx(probability, abs=4 * np.sqrt(probability / count))


def test_confidence_is_the_expected_reward_of_what_was_chosen() -> None:
    one = asked(4)
    rewards = np.linspace(0, 0.9, 16, dtype=np.float32)[None]
    made = TASK.decode({"logits": np.zeros((1, 16), np.float32), "rewards": rewards}, [one])[0]
    place = list(made.output["probabilities"]).index(made.output["action"])
    assert made.confidence == pytest.approx(float(rewards[0, place]))


def test_options_choose_the_exploration() -> None:
    greedy = Decision(exploration="epsilon-greedy", epsilon=0.0, floor=0.0)
    assert [made.propensity for made in decoded([asked(1), asked(2)], task=greedy)] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["logits", "rewards"])
def test_scores_that_are_no_numbers_make_no_prediction(name: str) -> None:
    outputs = {"logits": np.zeros((1, 16), np.float32), "rewards": np.zeros((1, 16), np.float32)}
    outputs[name][0, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        TASK.decode(outputs, [asked(1)])


def test_a_correction_names_the_right_action() -> None:
    canonical = TASK.validate_correction({"action": "a", "probabilities": {"a": 1.0}})
    assert canonical == TASK.validate_correction(canonical) == {"action": "a"}


@pytest.mark.parametrize(
    ("correction", "code"),
    [
        ({}, "missing_action"),
        ({"probabilities": {}}, "missing_action"),
        ({"action": None}, "bad_id"),
        ({"action": ""}, "bad_id"),
        ({"action": "x" * 201}, "bad_id"),
        ({"action": "a", "text": "b"}, "unknown_field"),
    ],
)
def test_corrections_that_cannot_be_true_are_refused_with_the_reason(correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        TASK.validate_correction(correction)
    assert caught.value.code == code


def test_only_the_right_action_scores() -> None:
    assert TASK.score({"action": "a", "probabilities": {}}, {"action": "a"}) == 1.0
    assert TASK.score({"action": "b", "probabilities": {}}, {"action": "a"}) == 0.0


def test_each_sample_is_corrected_to_one_of_its_actions() -> None:
    samples = TASK.samples()
    assert len(samples) >= 3
    for sample in samples:
        assert sample.correction["action"] in [action["id"] for action in json.loads(sample.payload)["actions"]]
