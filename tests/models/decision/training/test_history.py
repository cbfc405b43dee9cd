"""Weights of history: older decisions count less, and how much less is learned from the log."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision.training.history import chosen_half_life, decayed
from models.decision.training.log_reader import LoggedDecision, grouped
from models.decision.training.network import initial
from models.decision.training.policy_gradient import PolicyFittingPlan
from models.decision.training.returns import flat

QUICK = PolicyFittingPlan(least_steps=100, most_steps=100)


def log(count: int, turn: int, seed: int = 0) -> list[LoggedDecision]:
    """Decisions of a uniform policy among two actions or six: the first is right before the turn, the second after."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        actions = np.eye(6, dtype=np.float32)[: int(rng.choice([2, 6]))]
        chosen = int(rng.integers(len(actions)))
        reward = float(rng.random() < (0.8 if chosen == (number >= turn) else 0.2))
        features = {"context": np.ones(1, np.float32), "actions": actions}
        made.append(LoggedDecision(features, chosen, 1 / len(actions), reward))
    return made


def half_life(logged: list[LoggedDecision], seed: int = 0) -> float:
    start = initial(1, 6, np.random.default_rng(0))
    return chosen_half_life(start, grouped(logged), QUICK, seed, lambda step, steps: None)


@given(st.integers(1, 40), st.floats(0.5, 100), st.integers(0, 9))
def test_a_decision_counts_half_as_much_as_one_a_half_life_newer(count: int, life: float, seed: int) -> None:
    weighted = decayed(grouped(log(count, 0, seed)), life)
    weights = flat(weighted, [group.weight[:, 0] for group in weighted])
    np.testing.assert_allclose(weights, 0.5 ** (np.arange(count)[::-1] / life), rtol=1e-4)


def test_without_a_half_life_all_count_alike() -> None:
    assert all((group.weight == 1).all() for group in decayed(grouped(log(20, 0)), np.inf))


@pytest.mark.parametrize("seed", range(3))
def test_where_tastes_have_turned_older_decisions_count_less(seed: int) -> None:
    assert half_life(log(1_500, 1_000, seed)) < 500


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_has_changed_nearly_all_history_counts(seed: int) -> None:
    assert half_life(log(1_500, 0, seed)) >= 750


def test_a_few_decisions_choose_nothing() -> None:
    assert half_life(log(100, 50)) == np.inf
