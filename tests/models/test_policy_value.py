"""Objections to estimates: to their weights, their rewards, and the entities of their log."""

import numpy as np
import pytest

from benchmarks.studies.off_policy_coverage import SCENARIOS, Scenario, measure
from models.policy_value import cluster_numbers, doubts

LOGGING, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])


def test_a_log_that_supports_a_policy_raises_no_doubt() -> None:
    actions = np.random.default_rng(3).choice(3, 2_000, p=LOGGING)
    assert doubts(TARGET[actions] / LOGGING[actions]) == ()


def test_what_the_log_never_shows_is_doubted_with_its_probability() -> None:
    rng = np.random.default_rng(4)
    actions = rng.choice(2, size=2_000, p=[0.6, 0.4])  # the third action is never taken
    [doubt] = doubts(TARGET[actions] / np.array([0.6, 0.4])[actions])
    assert "about 70%" in doubt


def test_few_decisions_and_a_single_heavy_one_are_doubted() -> None:
    few, heavy = doubts(np.array([*np.full(50, 0.5), 30.0]))
    assert "51 decisions are worth" in few
    assert "55% of all weight" in heavy


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_weights_that_are_no_numbers_are_doubted(bad: float) -> None:
    [doubt] = doubts(np.array([*np.ones(500), bad]), np.resize([0.0, 1.0], 501))
    assert doubt.startswith("1 of 501 importance weights")


def test_rewards_that_say_too_little_are_doubted() -> None:
    weights, half = np.ones(1_000), np.resize([0.0, 1.0], 1_000)
    rare = np.where(np.arange(1_000) < 5, 1.0, 0.0)
    assert doubts(weights, half) == ()
    assert "All 1000 rewards are 0" in doubts(weights, np.zeros(1_000))[0]
    assert "Rewards other than 0 are worth 5" in doubts(weights, rare)[0]
    assert "1 of 1000 rewards are no finite" in doubts(weights, np.append(half[:-1], np.nan))[0]


def test_few_entities_are_doubted_however_many_their_decisions() -> None:
    half, clusters = np.resize([0.0, 1.0], 1_000), np.repeat(np.arange(10), 100)
    [doubt] = doubts(np.ones(1_000), half, clusters)
    assert "10 entities of equal weight" in doubt
    assert doubts(np.ones(1_000), half, np.repeat(np.arange(100), 10)) == ()
    heavy = np.append(np.full(150, 0), np.arange(850) + 1)
    assert "One entity has 15%" in doubts(np.ones(1_000), half, heavy)[0]


def test_entities_are_numbered_by_appearance_and_those_without_a_name_are_alone() -> None:
    assert cluster_numbers(["b", None, "a", "b", None, ""]).tolist() == [0, 1, 2, 0, 3, 4]


def test_an_empty_log_is_doubted() -> None:
    assert doubts(np.zeros(0)) == ("The log is empty.",)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_intervals_are_seldom_wrong_without_a_doubt(scenario: Scenario) -> None:
    assert measure(scenario, 150, 1).silent_misses <= 0.09, "5 % of 150 logs, and three standard errors less"
