"""From decisions to trajectories: what of an episode has a return that is known."""

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.decision.request import Step
from models.decision.training.log_reader import LoggedDecision
from models.decision.training.trajectories import is_whole, trajectories_of

FEATURES = {"actions": np.zeros((2, 1), np.float32), "context": np.ones(1, np.float32)}


def step(number: int, reward: float | None = 0.5, episode: str = "walk", **more: object) -> LoggedDecision:
    return replace(LoggedDecision(FEATURES, 0, 0.5, reward, step=Step(episode, number)), **more)  # type: ignore[arg-type]


def numbers(logged: list[LoggedDecision]) -> list[list[int]]:
    return [[one.step.number for one in trajectory if one.step] for trajectory in trajectories_of(logged).trajectories]


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 1000))
def test_steps_are_put_in_their_order_whatever_lies_between_them(count: int, episodes: int, seed: int) -> None:
    logged = [step(number, episode=f"{episode}") for episode in range(episodes) for number in range(count)]
    Random(seed).shuffle(logged)
    trajectories = trajectories_of(logged)
    assert numbers(logged) == [list(range(count))] * episodes
    assert all(
        len({one.step.episode for one in trajectory if one.step}) == 1 for trajectory in trajectories.trajectories
    )
    assert (trajectories.left_out, trajectories.in_episodes) == ({}, True)


def test_decisions_outside_of_episodes_are_each_a_run() -> None:
    logged = [LoggedDecision(FEATURES, 0, 0.5, reward) for reward in (0.0, None, 1.0)]
    trajectories = trajectories_of(logged)
    assert trajectories.trajectories == [[one] for one in logged]
    assert (trajectories.left_out, trajectories.in_episodes) == ({}, False)


def test_an_episode_s_id_is_its_application_s_own() -> None:
    assert numbers([step(0, source="shop"), step(0, source="game"), step(1, source="shop")]) == [[0, 1], [0]]


def test_what_is_before_a_missing_reward_or_a_missing_step_is_left_out() -> None:
    for logged in ([step(0), step(1, None), step(2), step(3)], [step(0), step(2), step(3)]):
        assert numbers(logged) == [[2, 3]]
        assert trajectories_of(logged).left_out == {"return unknown": len(logged) - 2}


def test_an_episode_that_goes_on_is_not_learnt_from() -> None:
    trajectories = trajectories_of([step(0), step(1, None)])
    assert (trajectories.trajectories, trajectories.left_out) == ([], {"return unknown": 2})


def test_what_a_person_has_corrected_is_learnt_from_all_the_same_without_its_reward() -> None:
    logged = [step(0, label=1), step(1), step(2, None, label=0)]
    assert trajectories_of(logged).trajectories == [[replace(logged[0], reward=None)], [logged[2]]]
    assert trajectories_of(logged).left_out == {"return unknown": 1}


def test_an_episode_that_has_a_step_twice_or_is_in_several_splits_is_left_out() -> None:
    twice = [step(0), step(1), step(1)]
    divided = [step(0, episode="other"), step(1, episode="other", split="validation")]
    trajectories = trajectories_of([*twice, *divided])
    assert trajectories.trajectories == []
    assert trajectories.left_out == {"a step twice": 3, "in several splits: its requests had several keys": 2}


def test_runs_are_chosen_by_their_split() -> None:
    trajectories = trajectories_of([step(0), step(0, episode="other", split="validation")])
    assert [len(trajectories.of(split)) for split in ("train", "validation", "test")] == [1, 1, 0]


def test_a_run_is_a_whole_episode_if_it_begins_at_step_0() -> None:
    assert is_whole([step(0), step(1)])
    assert not is_whole([step(1), step(2)])
    assert is_whole([LoggedDecision(FEATURES, 0, 0.5, 1.0)])
    assert not is_whole([LoggedDecision(FEATURES, 0, 0.5, None, label=1)])
