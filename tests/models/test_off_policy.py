"""Off-policy estimates against a truth that is known, and laws that hold for any log."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models import off_policy
from models.off_policy import Floats

LOGGING, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
CHANCES = np.array([0.2, 0.5, 0.6])
TRUTH = float(TARGET @ CHANCES)

rewards_of_ten = arrays(np.float64, 10, elements=st.floats(-1, 1))
weights_of_ten = arrays(np.float64, 10, elements=st.floats(0.01, 20))


def log(count: int, seed: int) -> tuple[Floats, Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Rewards, importance weights and actions of three actions with known chances."""
    rng = np.random.default_rng(seed)
    actions = rng.choice(3, size=count, p=LOGGING)
    rewards = (rng.random(count) < CHANCES[actions]).astype(np.float64)
    return rewards, TARGET[actions] / LOGGING[actions], actions


def estimates(count: int, seed: int, model: Floats) -> dict[str, off_policy.Estimate]:
    rewards, weights, actions = log(count, seed)
    values = np.full(count, TARGET @ model)
    return {
        "ips": off_policy.ips(rewards, weights),
        "snips": off_policy.snips(rewards, weights),
        "dm": off_policy.direct_method(values),
        "dr": off_policy.doubly_robust(rewards, weights, model[actions], values),
    }


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_estimates_come_near_the_truth_even_with_a_wrong_reward_model(name: str) -> None:
    made = estimates(200_000, 1, np.array([0.9, 0.1, 0.1]))[name]
    assert made.value == pytest.approx(TRUTH, abs=0.01)


def test_the_direct_method_is_as_right_as_its_reward_model() -> None:
    assert estimates(10, 1, CHANCES)["dm"].value == pytest.approx(TRUTH)
    assert estimates(10, 1, np.zeros(3))["dm"].value == 0.0


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    held = 0
    for seed in range(200):
        low, high = estimates(500, seed, np.array([0.3, 0.4, 0.5]))[name].interval()
        held += low <= TRUTH <= high
    assert 0.9 <= held / 200 <= 0.99


def test_a_good_reward_model_makes_the_doubly_robust_interval_narrower() -> None:
    good, none = estimates(2_000, 2, CHANCES), estimates(2_000, 2, np.zeros(3))
    assert good["dr"].standard_error < none["dr"].standard_error == pytest.approx(none["ips"].standard_error)


@given(rewards_of_ten)
def test_the_logging_policy_is_worth_its_mean_reward_by_every_estimator(rewards: Floats) -> None:
    ones = np.ones(10)
    for made in (
        off_policy.ips(rewards, ones),
        off_policy.snips(rewards, ones),
        off_policy.doubly_robust(rewards, ones, np.zeros(10), np.zeros(10)),
    ):
        assert made.value == pytest.approx(off_policy.on_policy(rewards).value, abs=1e-12)
        assert float(np.mean(made.influence)) == pytest.approx(0, abs=1e-9)


@given(rewards_of_ten, weights_of_ten, st.floats(0.1, 10))
def test_snips_lies_between_the_rewards_and_ignores_the_scale_of_weights(
    rewards: Floats, weights: Floats, factor: float
) -> None:
    value = off_policy.snips(rewards, weights).value
    assert rewards.min() - 1e-9 <= value <= rewards.max() + 1e-9
    assert off_policy.snips(rewards, weights * factor).value == pytest.approx(value, abs=1e-9)


@given(rewards_of_ten, weights_of_ten)
def test_a_policy_differs_from_itself_by_nothing(rewards: Floats, weights: Floats) -> None:
    made = off_policy.snips(rewards, weights)
    same = made.minus(made)
    assert (same.value, same.standard_error, *same.interval()) == (0.0, 0.0, 0.0, 0.0)


@given(rewards_of_ten, weights_of_ten, st.floats(0, 30))
def test_the_lower_bound_is_never_above_the_estimate_with_weights_of_mean_1(
    rewards: Floats, weights: Floats, clip: float
) -> None:
    normal = weights / weights.mean()
    bound = off_policy.clipped_ips(rewards, normal, clip, -1.0)
    assert bound.value <= off_policy.ips(rewards, normal).value + 1e-9
    assert off_policy.clipped_ips(rewards, normal, np.inf, -1.0).value == pytest.approx(
        off_policy.ips(rewards, normal).value, abs=1e-9
    )


@given(weights_of_ten)
def test_the_effective_size_is_at_most_the_log_s_and_all_of_it_for_equal_weights(weights: Floats) -> None:
    assert 1 - 1e-9 <= off_policy.effective_size(weights) <= 10 + 1e-9
    assert off_policy.effective_size(np.full(10, weights[0])) == pytest.approx(10)


def test_a_policy_that_never_does_what_was_logged_has_no_value() -> None:
    made = off_policy.snips(np.ones(3), np.zeros(3))
    assert np.isnan(made.value)
    assert off_policy.effective_size(np.zeros(3)) == 0.0


def test_a_single_decision_says_nothing_of_its_error() -> None:
    assert off_policy.ips(np.ones(1), np.ones(1)).standard_error == float("inf")


OBP: dict[str, Any] = json.loads(Path(__file__).with_name("obp.json").read_text())


@pytest.mark.parametrize("name", OBP["values"])
def test_estimators_agree_with_obp_on_the_same_log(name: str) -> None:
    actions, policy = np.array(OBP["actions"]), np.array(OBP["policy"])
    rewards, model = np.array(OBP["rewards"]), np.array(OBP["model"])
    rows = np.arange(len(actions))
    weights = policy[rows, actions] / np.array(OBP["propensities"])
    predicted, values = model[rows, actions], (policy * model).sum(axis=1)
    made = {
        "ipw": lambda: off_policy.ips(rewards, weights),
        "snipw": lambda: off_policy.snips(rewards, weights),
        "dm": lambda: off_policy.direct_method(values),
        "dr": lambda: off_policy.doubly_robust(rewards, weights, predicted, values),
        "switch-dr": lambda: off_policy.switch_dr(rewards, weights, predicted, values, OBP["threshold"]),
    }[name]()
    assert made.value == pytest.approx(OBP["values"][name], abs=1e-6)


@given(rewards_of_ten, weights_of_ten, rewards_of_ten, rewards_of_ten)
def test_switching_is_the_direct_method_or_doubly_robust_at_its_ends(
    rewards: Floats, weights: Floats, predicted: Floats, values: Floats
) -> None:
    never, always = (off_policy.switch_dr(rewards, weights, predicted, values, at).value for at in (0.0, np.inf))
    assert never == off_policy.direct_method(values).value
    assert always == off_policy.doubly_robust(rewards, weights, predicted, values).value


@given(rewards_of_ten, weights_of_ten)
def test_clusters_of_one_change_nothing_and_copies_add_nothing(rewards: Floats, weights: Floats) -> None:
    made = off_policy.snips(rewards, weights)
    leverage = 1 - 1 / 10
    np.testing.assert_allclose(made.by_cluster(np.arange(10)).influence * leverage, made.influence)
    copied = off_policy.snips(np.repeat(rewards, 3), np.repeat(weights, 3)).by_cluster(np.repeat(np.arange(10), 3))
    assert copied.value == pytest.approx(made.value, abs=1e-9)
    assert copied.standard_error * leverage == pytest.approx(made.standard_error, abs=1e-9)


def test_an_estimate_that_a_few_decide_is_doubted_by_cochrans_rule() -> None:
    rare, often = (off_policy.on_policy(np.where(np.arange(5_000) < count, 1.0, 0.0)) for count in (20, 40))
    assert rare.doubt is not None
    assert "A few of 5000" in rare.doubt
    assert often.doubt is None
    zero = off_policy.on_policy(np.zeros(5_000))
    assert rare.doubt_of_low_end is None, "the lower end is low enough"
    assert zero.minus(rare).doubt_of_low_end == zero.minus(rare).doubt == rare.doubt
    assert off_policy.on_policy(np.zeros(10)).doubt is None, "as of a policy and itself"
    assert "say nothing of the error" in (off_policy.on_policy(np.ones(10)).doubt_of_low_end or "")
