"""Estimates over episodes against a small world of which all is known, and laws that hold for any log."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import off_policy
from models.episodic_off_policy import Episodes, ReturnModel
from models.off_policy import Estimate, Floats

GAMMA = 0.9
HORIZON = 3
LOGGING = np.array([[0.6, 0.4], [0.4, 0.6]])
"""How probable an action (column) is in a state (row)."""
TARGET = np.array([[0.3, 0.7], [0.7, 0.3]])
REWARDS = np.array([[0.1, -0.2], [0.5, 1.0]])
SLIPPERY = np.array([[0.2, 0.7], [0.4, 0.0]])
"""How probable it is to come from a state, by an action, to the other one; the last action ends the episode."""
FIRM = SLIPPERY.round()

Path = list[tuple[int, int, int]]
"""Step, state and action, one after the other."""

some_lengths = st.lists(st.integers(1, 6), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


def q(step: int, moves: Floats) -> Floats:
    """The target policy's return from a step on, by state and action, by Bellman's equation."""
    if step == HORIZON:
        return np.zeros((2, 2))
    later = (TARGET * q(step + 1, moves)).sum(1)
    after = (1 - moves) * later[:, None] + moves * later[::-1, None]
    after[1, 1] = 0
    returns: Floats = REWARDS + GAMMA * after
    return returns


def truth(moves: Floats) -> float:
    return float(TARGET[0] @ q(0, moves)[0])


def paths(moves: Floats, step: int = 0, state: int = 0, chance: float = 1.0) -> Iterator[tuple[float, Path]]:
    """Every way that an episode can go, and how probable it is under the logging policy."""
    if step == HORIZON:
        yield chance, []
        return
    for action in (0, 1):
        taken, here = chance * LOGGING[state, action], (step, state, action)
        if (state, action) == (1, 1):
            yield taken, [here]
            continue
        for other, probability in ((state, 1 - moves[state, action]), (1 - state, moves[state, action])):
            if probability > 0:
                yield from (
                    (whole, [here, *path]) for whole, path in paths(moves, step + 1, other, taken * probability)
                )


def played(some: Sequence[Path], moves: Floats, error: float = 0.0) -> tuple[Episodes, Floats, ReturnModel]:
    """Episodes as arrays, and a model of them that is wrong by `error` at most."""
    steps, states, actions = np.array([here for path in some for here in path]).T
    known = np.array([q(step, moves) for step in range(HORIZON)])
    known += np.random.default_rng(0).uniform(-error, error, known.shape)
    model = ReturnModel(
        TARGET[states, actions] / LOGGING[states, actions],
        known[steps, states, actions],
        (TARGET * known).sum(2)[steps, states],
    )
    return Episodes.of([len(path) for path in some]), REWARDS[states, actions], model


def estimates(episodes: Episodes, rewards: Floats, model: ReturnModel) -> dict[str, Estimate]:
    return {
        "per decision": episodes.per_decision(rewards, model.weights, GAMMA),
        "weighted": episodes.weighted_per_decision(rewards, model.weights, GAMMA),
        "doubly robust": episodes.doubly_robust(rewards, model, GAMMA),
    }


def at_random(lengths: list[int], seed: int) -> tuple[Episodes, Floats, ReturnModel]:
    """Rewards, weights and a model without any sense."""
    rng = np.random.default_rng(seed)
    rewards, predicted, values = rng.uniform(-1, 1, (3, sum(lengths)))
    return Episodes.of(lengths), rewards, ReturnModel(rng.exponential(size=sum(lengths)), predicted, values)


def split(values: Floats, lengths: list[int]) -> list[Floats]:
    return np.split(values, np.cumsum(lengths)[:-1])


@pytest.mark.parametrize("name", ["per decision", "doubly robust"])
def test_over_all_that_can_happen_the_mean_is_the_truth_even_with_a_wrong_model(name: str) -> None:
    chances, some = zip(*paths(SLIPPERY), strict=True)
    assert sum(chances) == pytest.approx(1)
    made = estimates(*played(some, SLIPPERY, error=0.5))[name]
    assert np.array(chances) @ (made.value + made.influence) == pytest.approx(truth(SLIPPERY))


def test_with_a_true_model_and_no_chance_in_the_world_each_episode_says_the_truth() -> None:
    _, some = zip(*paths(FIRM), strict=True)
    made = estimates(*played(some, FIRM))["doubly robust"]
    np.testing.assert_allclose(made.value + made.influence, truth(FIRM))


def test_a_true_model_makes_the_doubly_robust_interval_narrower() -> None:
    chances, some = zip(*paths(SLIPPERY), strict=True)
    log = [some[place] for place in np.random.default_rng(1).choice(len(some), 2_000, p=chances)]
    good, bad = (estimates(*played(log, SLIPPERY, error)) for error in (0.0, 3.0))
    assert good["doubly robust"].standard_error < good["per decision"].standard_error
    assert good["doubly robust"].standard_error < bad["doubly robust"].standard_error


@pytest.mark.parametrize("name", ["per decision", "weighted", "doubly robust"])
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    chances, some = zip(*paths(SLIPPERY), strict=True)
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        log = [some[place] for place in rng.choice(len(some), 500, p=chances)]
        low, high = estimates(*played(log, SLIPPERY, error=0.3))[name].interval()
        held += low <= truth(SLIPPERY) <= high
    assert 0.9 <= held / 200 <= 0.99


@given(st.integers(1, 20), seeds)
def test_episodes_of_one_step_are_decisions_without_episodes(count: int, seed: int) -> None:
    episodes, rewards, model = at_random([1] * count, seed)
    made = estimates(episodes, rewards, model)
    expected = {
        "per decision": off_policy.ips(rewards, model.weights),
        "weighted": off_policy.snips(rewards, model.weights),
        "doubly robust": off_policy.doubly_robust(rewards, model.weights, model.predicted, model.values),
    }
    made["logged"], expected["logged"] = episodes.on_policy(rewards, GAMMA), off_policy.on_policy(rewards)
    for name, one in expected.items():
        assert made[name].value == pytest.approx(one.value)
        np.testing.assert_allclose(made[name].influence, one.influence, atol=1e-9)
    assert episodes.effective_size(model.weights) == pytest.approx(off_policy.effective_size(model.weights))
    np.testing.assert_array_equal(episodes.returns(rewards, GAMMA, model), rewards)


@given(some_lengths, seeds)
def test_the_logging_policy_is_worth_its_mean_return_by_every_estimator(lengths: list[int], seed: int) -> None:
    episodes, rewards, _ = at_random(lengths, seed)
    nothing = np.zeros(len(rewards))
    logged = episodes.on_policy(rewards, GAMMA)
    assert logged.value == pytest.approx(np.mean([own[0] for own in split(earned(rewards, lengths), lengths)]))
    for made in estimates(episodes, rewards, ReturnModel(nothing + 1, nothing, nothing)).values():
        assert made.value == pytest.approx(logged.value)
        assert float(np.mean(made.influence)) == pytest.approx(0, abs=1e-9)
    assert episodes.effective_size(nothing + 1) == pytest.approx(len(lengths))


@given(some_lengths, seeds)
def test_a_reward_has_the_weights_up_to_its_step_and_none_of_later_ones(lengths: list[int], seed: int) -> None:
    episodes, _, model = at_random(lengths, seed)
    expected = np.concatenate([np.cumprod(own) for own in split(model.weights, lengths)])
    np.testing.assert_allclose(episodes.products(model.weights), expected)


def earned(rewards: Floats, lengths: list[int]) -> Floats:
    """Returns by a loop over steps, from the last one back."""
    made = []
    for own in split(rewards, lengths):
        total, found = 0.0, []
        for reward in own[::-1]:
            total = reward + GAMMA * total
            found.append(total)
        made += found[::-1]
    return np.array(made)


@given(some_lengths, seeds)
def test_a_return_is_the_reward_and_what_comes_later_discounted(lengths: list[int], seed: int) -> None:
    episodes, rewards, _ = at_random(lengths, seed)
    np.testing.assert_allclose(episodes.returns(rewards, GAMMA), earned(rewards, lengths))
    np.testing.assert_array_equal(episodes.returns(rewards, 0.0), rewards)


@given(some_lengths, seeds)
def test_a_model_s_returns_are_those_of_a_loop_over_steps(lengths: list[int], seed: int) -> None:
    episodes, rewards, model = at_random(lengths, seed)
    expected = []
    columns = (rewards, model.weights, model.predicted, model.values)
    for own in zip(*(split(column, lengths) for column in columns), strict=True):
        later, found = 0.0, []
        for reward, weight, predicted, value in reversed(list(zip(*own, strict=True))):
            found.append(reward + GAMMA * later)
            later = value + min(weight, 1.0) * (found[-1] - predicted)
        expected += found[::-1]
    np.testing.assert_allclose(episodes.returns(rewards, GAMMA, model), expected)


def test_with_a_true_model_and_no_chance_in_the_world_the_returns_are_the_target_policy_s() -> None:
    _, some = zip(*paths(FIRM), strict=True)
    episodes, rewards, model = played(some, FIRM)
    np.testing.assert_allclose(episodes.returns(rewards, GAMMA, model), model.predicted, atol=1e-12)


def test_a_policy_that_never_goes_the_logged_way_has_no_value() -> None:
    episodes = Episodes.of([2, 1])
    made = episodes.weighted_per_decision(np.ones(3), np.array([1.0, 0.0, 0.0]), GAMMA)
    assert np.isnan(made.value)
    assert episodes.effective_size(np.zeros(3)) == 0.0
