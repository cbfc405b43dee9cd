"""Returns of a log whose decisions are grouped by padding, not by episode."""

from dataclasses import replace

import numpy as np
import pytest

from models.decision.request import Step
from models.decision.training.log_reader import LoggedDecision
from models.decision.training.network import Network, Scale, initial
from models.decision.training.returns import TrajectoryBatch, flat, model_of

COLUMNS, WIDTH = 2, 3
RANGE = (-1.0, 3.0)


def decision(episode: int, number: int, actions: int, reward: float | None) -> LoggedDecision:
    """A step with so many actions: those of more than four are in another group."""
    rng = np.random.default_rng((episode, number))
    features = {
        "context": rng.normal(size=COLUMNS).astype(np.float32),
        "actions": rng.normal(size=(actions, WIDTH)).astype(np.float32),
    }
    return LoggedDecision(features, int(rng.integers(actions)), 1 / actions, reward, step=Step(str(episode), number))


RUNS = [
    [decision(0, 0, 2, 1.0), decision(0, 1, 9, 0.5), decision(0, 2, 3, -1.0)],
    [decision(1, 4, 9, 0.25), decision(1, 5, 2, 0.5)],
    [decision(2, 0, 3, None)],
    [decision(3, 0, 4, 0.75)],
]


def network(seed: int) -> Network:
    """A policy and a model of rewards with some weights."""
    rng = np.random.default_rng(seed)
    unit = Scale(*(of(size, np.float32) for size in (COLUMNS, WIDTH) for of in (np.zeros, np.ones)))
    policy, rewards = (
        initial(COLUMNS, WIDTH, rng) | {"bilinear": rng.normal(size=(COLUMNS, WIDTH)).astype(np.float32)}
        for _ in range(2)
    )
    return Network(policy, rewards, unit, 1.0, RANGE, {})


def returns(played: TrajectoryBatch, gamma: float, of: Network | None = None) -> list[float]:
    log = played.returns(gamma, of)
    return list(flat(log, [one.reward for one in log]))


def test_returns_are_each_step_s_own_whatever_group_it_is_in() -> None:
    played = TrajectoryBatch.of(RUNS)
    assert len(played.log) == 2
    expected = [1 + 0.5 * (0.5 - 0.5), 0.5 - 0.5, -1, 0.25 + 0.25, 0.5, np.nan, 0.75]
    np.testing.assert_allclose(returns(played, 0.5), expected)
    np.testing.assert_array_equal(played.whole, [True, False, False, True])


def test_without_a_second_step_rewards_stay_as_they_are() -> None:
    played = TrajectoryBatch.of(RUNS[2:])
    assert not played.in_steps
    assert played.returns(0.5, network(0)) is played.log


def test_no_decisions_have_no_returns() -> None:
    assert TrajectoryBatch.of([]).returns(0.5, None) == []
    assert TrajectoryBatch.of([]).figures(network(0), 0.5) == {}


def test_a_model_says_of_each_decision_the_policy_s_weight_and_what_it_expects() -> None:
    logged = [one for run in RUNS for one in run]
    some = network(1)
    model = model_of(some, TrajectoryBatch.of(RUNS).log)
    alone = [model_of(some, TrajectoryBatch.of([[one]]).log) for one in logged]
    for name in ("weights", "predicted", "values"):
        np.testing.assert_allclose(getattr(model, name), [getattr(one, name)[0] for one in alone], rtol=1e-5)
    assert ((model.predicted > RANGE[0]) & (model.predicted < RANGE[1])).all()
    uniform = model_of(
        replace(some, policy=initial(COLUMNS, WIDTH, np.random.default_rng(0))), TrajectoryBatch.of(RUNS).log
    )
    np.testing.assert_allclose(uniform.weights, 1, rtol=1e-5)


def test_with_a_network_the_last_step_s_return_is_its_reward_and_the_others_are_as_its_policy_goes_on() -> None:
    played, some = TrajectoryBatch.of(RUNS), network(2)
    model = model_of(some, played.log)
    found = returns(played, 0.5, some)
    assert (found[2], found[4], found[6]) == (-1.0, 0.5, 0.75)
    later = model.values[2] + min(model.weights[2], 1) * (-1.0 - model.predicted[2])
    assert found[1] == pytest.approx(0.5 + 0.5 * later, rel=1e-5)


def test_figures_are_of_whole_episodes_only() -> None:
    some = network(3)
    made = TrajectoryBatch.of(RUNS).figures(some, 0.5)
    whole = TrajectoryBatch.of([RUNS[0], RUNS[3]]).figures(some, 0.5)
    assert made.keys() == whole.keys()
    for name, figure in whole.items():
        assert made[name] == pytest.approx(figure, abs=2e-5), name
    assert made["episodes"] == 2
    assert made["logged"][0] == pytest.approx((1 + 0.5 * 0.5 - 0.25 + 0.75) / 2)
    assert all(low <= value <= high for value, low, high in (made["weighted_per_decision"], made["doubly_robust"]))
