"""Several named rewards of a prediction become one."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.outcomes.label_aggregation import build_outcome, outcome_id
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory
from app.settings import RewardSettings, TaskSettings
from tests.support.sum_outcomes import LATER, NO_AUDIT, RULES, outcome_of, try_outcome
from tests.support.sum_task import (
    SumTask,
    feedback_lists,
    make_correction,
    make_feedback,
    make_retraction,
    make_served_prediction,
    minutes_after_start,
)

SHOP = TaskSettings(
    audit_rate=0,
    rewards={
        "click": RewardSettings(weight=0.1, window_seconds=300, combine="max"),
        "purchase": RewardSettings(weight=0.6, window_seconds=1800, combine="sum"),
        "return": RewardSettings(weight=-0.5),
    },
)


def named(minutes: float, name: str, reward: float = 1.0, **fields: Any) -> FeedbackEvent:
    """Return feedback with a named reward."""
    return make_feedback(minutes, reward=reward, reward_name=name, **fields)


CLICK, PURCHASE, RETURN = named(1, "click"), named(20, "purchase"), named(40, "return")


def test_the_reward_is_the_weighted_sum_of_its_names() -> None:
    assert outcome_of(CLICK, rules=SHOP).reward == pytest.approx(0.1)
    assert outcome_of(CLICK, PURCHASE, rules=SHOP).reward == pytest.approx(0.7)
    outcome = outcome_of(CLICK, PURCHASE, RETURN, rules=SHOP)
    assert outcome.reward == pytest.approx(0.2)
    assert outcome.rewards == {"click": 1.0, "purchase": 1.0, "return": 1.0}


def test_a_reward_counts_only_within_the_attribution_window_of_its_name() -> None:
    late_click, late_purchase = named(5.1, "click"), named(30.1, "purchase")
    assert outcome_of(late_click, late_purchase, RETURN, rules=SHOP).rewards == {"return": 1.0}
    assert outcome_of(named(5, "click"), named(30, "purchase"), rules=SHOP).reward == pytest.approx(0.7)


def test_a_name_without_a_window_has_that_of_the_task() -> None:
    rules = SHOP.model_copy(update={"reward_window_seconds": 600.0})
    assert outcome_of(PURCHASE, RETURN, rules=rules).rewards == {"purchase": 1.0}
    assert outcome_of(PURCHASE, named(9, "return"), rules=rules).reward == pytest.approx(0.1)


@pytest.mark.parametrize(("combine", "combined"), [("latest", 0.2), ("first", 0.5), ("max", 0.9), ("sum", 1.6)])
def test_several_rewards_of_one_name_combine_by_its_rule(combine: Any, combined: float) -> None:
    rules = TaskSettings(audit_rate=0, rewards={"stars": RewardSettings(weight=0.5, combine=combine)})
    events = [named(2, "stars", 0.9, actor="bob"), named(3, "stars", 0.2), named(1, "stars", 0.5, actor="cleo")]
    outcome = outcome_of(*events, rules=rules)
    assert outcome.rewards == pytest.approx({"stars": combined})
    assert outcome.reward == pytest.approx(0.5 * combined)


def test_the_sum_is_clipped_to_the_range_of_rewards() -> None:
    purchases = [named(minute, "purchase") for minute in range(5)]
    assert outcome_of(*purchases, rules=SHOP).reward == 1.0
    assert outcome_of(*[named(1, "return", actor=actor) for actor in "abc"], rules=SHOP).reward == -0.5
    costly = TaskSettings(audit_rate=0, rewards={"return": RewardSettings(weight=-3)})
    assert outcome_of(RETURN, rules=costly).reward == -1.0


def test_a_reward_without_a_name_is_one_more_term() -> None:
    assert outcome_of(CLICK, make_feedback(2, reward=0.3), rules=SHOP).reward == pytest.approx(0.4)
    alone = outcome_of(make_feedback(2, reward=0.3), make_feedback(3, reward=-0.3), rules=SHOP)
    assert (alone.reward, alone.rewards) == (-0.3, None)


def test_a_name_that_is_not_declared_is_recorded_but_does_not_count() -> None:
    outcome = outcome_of(CLICK, named(2, "clik"), rules=SHOP)
    assert outcome.reward == pytest.approx(0.1)
    assert outcome.rewards == {"click": 1.0, "clik": 1.0}
    alone = outcome_of(CLICK)
    assert (alone.reward, alone.rewards, alone.feedback) == (None, {"click": 1.0}, 1)


def test_the_default_stands_in_until_the_first_reward_of_a_declared_name() -> None:
    rules = SHOP.model_copy(update={"reward_window_seconds": 600.0, "reward_default": -0.2})
    for undeclared in ([], [named(1, "clik")]):
        outcome = outcome_of(*undeclared, rules=rules)
        assert (outcome.reward, outcome.reward_defaulted) == (-0.2, True)
    outcome = outcome_of(PURCHASE, rules=rules)
    assert outcome.reward == pytest.approx(0.6)
    assert not outcome.reward_defaulted


def test_the_rewards_of_a_slate_are_combined_by_position_and_summed() -> None:
    events = [
        named(1, "click", position=1),
        named(2, "click", position=3),
        named(3, "click", position=3, actor="bob"),
        named(20, "purchase", position=3),
        make_feedback(4, reward=0.05, position=4),
        make_feedback(5, reward=-0.05, position=4),
    ]
    outcome = outcome_of(*events, rules=SHOP)
    assert outcome.position_rewards == pytest.approx((0.1, 0.0, 0.7, -0.05))
    assert outcome.reward == pytest.approx(0.75)
    assert outcome.rewards == {"click": 2.0, "purchase": 1.0}
    assert outcome_of(CLICK, rules=SHOP).position_rewards is None
    assert outcome_of(named(6, "click", position=2), rules=SHOP).position_rewards is None  # too late to count


def test_a_retracted_reward_leaves_the_sum() -> None:
    history = PredictionHistory(
        make_served_prediction(), (CLICK, PURCHASE, RETURN), (make_retraction(PURCHASE).retraction,)
    )
    outcome = build_outcome(SumTask(), SHOP, history, LATER)
    assert outcome is not None
    assert outcome.reward == pytest.approx(-0.4)
    assert outcome.rewards == {"click": 1.0, "return": 1.0}


@given(feedback_lists(), RULES, st.integers(0, 30))
def test_without_names_declared_rewards_change_nothing(
    events: list[FeedbackEvent], rules: TaskSettings, minutes: int
) -> None:
    unnamed = [event for event in events if event.feedback.reward_name is None]
    plain = rules.model_copy(update={"rewards": {}})
    outcomes = [try_outcome(*unnamed, rules=of, as_of=minutes_after_start(minutes)) for of in (rules, plain)]
    assert outcomes[0] == outcomes[1]
    assert [outcome and outcome_id(outcome) for outcome in outcomes[:1]] == [
        outcome and outcome_id(outcome) for outcome in outcomes[1:]
    ]


@given(feedback_lists(), RULES)
def test_the_reward_is_the_clipped_weighted_sum_of_what_is_recorded(
    events: list[FeedbackEvent], rules: TaskSettings
) -> None:
    events = [event for event in events if event.feedback.position is None]
    outcome = try_outcome(*events, rules=rules, as_of=minutes_after_start(0))
    declared = {} if outcome is None else {n: r for n, r in (outcome.rewards or {}).items() if n in rules.rewards}
    if outcome is None or not declared:
        return
    unnamed = [event for event in events if event.feedback.reward_name is None]
    without_names = try_outcome(*unnamed, rules=rules, as_of=minutes_after_start(0))
    total = math.fsum(rules.rewards[name].weight * reward for name, reward in declared.items())
    total += (without_names and without_names.reward) or 0.0
    assert outcome.reward == pytest.approx(min(1.0, max(-1.0, total)))


def test_settings_of_rewards_are_read_from_json_and_checked() -> None:
    rules = TaskSettings.model_validate_json('{"rewards": {"purchase": {"weight": 0.8, "window_seconds": 604800}}}')
    assert rules.rewards == {"purchase": RewardSettings(weight=0.8, window_seconds=604800, combine="latest")}
    invalid: list[dict[str, Any]] = [{"": {}}, {"click": {"weight": math.inf}}, {"click": {"combine": "mean"}}]
    for wrong in invalid:
        with pytest.raises(ValidationError):
            TaskSettings.model_validate({"rewards": wrong})


def test_an_outcome_with_a_label_keeps_it_beside_named_rewards() -> None:
    outcome = outcome_of(CLICK, make_feedback(2, **make_correction(1)), rules=SHOP)
    assert outcome.score == 1.0
    assert outcome.reward == pytest.approx(0.1)
    assert outcome_of(make_feedback(2, **make_correction(1)), rules=NO_AUDIT).rewards is None
