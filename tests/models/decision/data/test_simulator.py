"""The simulated problem: always the same, of known probabilities, and no visitor is in training and held out."""

import json
from itertools import islice

import numpy as np
import pytest

from models.base import Decoded, EvaluatedSample
from models.decision import Decision
from models.decision.data import simulator

TASK = Decision()


def test_the_held_out_set_is_always_the_same() -> None:
    first, second = (list(islice(TASK.held_out(), 20)) for _ in range(2))
    assert first == second


def test_no_visitor_is_in_two_sets() -> None:
    held_out = {sample.payload for sample in islice(simulator.held_out(), 300)}
    training = {sample.payload for sample in simulator.visits(300, simulator.TRAINING_SEED, 0, 0)}
    shown = {sample.payload for sample in islice(simulator.stream(0), 300)}
    assert len(held_out | training | shown) == 900


def test_every_visit_can_be_read() -> None:
    for sample in islice(TASK.demonstration(5), 100):
        assert TASK.preprocess(sample.payload)["context"].shape == (12,)


def test_what_is_right_is_the_offer_that_is_taken_most() -> None:
    for sample in TASK.samples():
        acceptance_probabilities = simulator.acceptance_probabilities(json.loads(sample.payload))
        assert acceptance_probabilities[sample.correction["action"]] == max(acceptance_probabilities.values())
        assert all(0 < chance < 1 for chance in acceptance_probabilities.values())


def test_rewards_come_as_often_as_their_chance_says() -> None:
    sample, rng = TASK.samples()[0], np.random.default_rng(0)
    rewards = [TASK.reward(sample, {"action": sample.correction["action"]}, rng) for _ in range(4_000)]
    chance = simulator.acceptance_probabilities(json.loads(sample.payload))[sample.correction["action"]]
    assert set(rewards) == {0.0, 1.0}
    assert np.mean([reward or 0.0 for reward in rewards]) == pytest.approx(chance, abs=0.03)


def judged(choose: str) -> list[EvaluatedSample]:
    """Policies that are certain: of the best or of the worst offer, or of none (uniform)."""
    made = []
    for sample in islice(simulator.held_out(), 200):
        acceptance_probabilities = simulator.acceptance_probabilities(json.loads(sample.payload))
        action = (max if choose == "best" else min)(acceptance_probabilities, key=acceptance_probabilities.__getitem__)
        certain = {offer: float(offer == action) for offer in acceptance_probabilities}
        probabilities = (
            {offer: 1 / len(acceptance_probabilities) for offer in acceptance_probabilities}
            if choose == "uniform"
            else certain
        )
        made.append(
            EvaluatedSample(
                sample, Decoded({"action": action, "probabilities": probabilities}, acceptance_probabilities[action])
            )
        )
    return made


def test_the_best_policy_has_no_regret() -> None:
    figures = TASK.figures(judged("best"))
    assert figures["regret"] == figures["regret_greedy"] == 0.0
    assert figures["best_greedy"] == 1.0
    assert figures["reward"] == figures["reward_best"] > figures["reward_uniform"]


def test_the_uniform_policy_is_worth_what_is_said_of_it() -> None:
    figures = TASK.figures(judged("uniform"))
    assert figures["reward"] == pytest.approx(figures["reward_uniform"])
    assert figures["regret"] == pytest.approx(figures["regret_uniform"])


def test_the_worst_policy_has_the_most_regret() -> None:
    figures = TASK.figures(judged("worst"))
    assert figures["regret"] > figures["regret_uniform"] > 0


def test_a_confidence_that_is_the_true_chance_is_calibrated() -> None:
    assert TASK.figures(judged("best"))["reward_ece"] == pytest.approx(0.0, abs=1e-12)
