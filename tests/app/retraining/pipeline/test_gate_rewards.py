"""Rewards decide alone where labels are too few, object where they are enough, and say nothing in doubt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.retraining.pipeline.gate_rewards import RewardEvidence, check_rewards
from app.settings.gate import GateSettings
from models.off_policy import Estimate

BOUNDS = GateSettings()
DOUBT = ("The log is empty.",)


def evidence(value: float, doubts: tuple[str, ...] = (), spread: float = 0.1) -> RewardEvidence:
    return RewardEvidence(Estimate(value, np.resize([spread, -spread], 400)), doubts)


def test_an_identical_candidate_is_refused() -> None:
    _, reason = check_rewards(evidence(0.0, spread=0.0), BOUNDS, alone=True)
    assert reason == (
        "By the log the value changes by +0.0000, at 96.96% between +0.0000 and +0.0000: the lower end must exceed 0."
    )


def test_the_improvement_that_is_asked_for_must_be_exceeded() -> None:
    bounds = GateSettings(min_improvement=0.04)
    assert check_rewards(evidence(0.05), BOUNDS, alone=True)[1] is None
    assert "must exceed 0.04" in (check_rewards(evidence(0.04), bounds, alone=True)[1] or "")


def test_doubtful_rewards_that_decide_alone_refuse_with_the_reason() -> None:
    metrics, reason = check_rewards(evidence(0.5, DOUBT), BOUNDS, alone=True)
    assert reason == "The rewards can't decide: The log is empty."
    assert metrics["off_policy"] == 0.5


@pytest.mark.parametrize(("value", "passes"), [(-0.1, False), (-0.005, True), (0.1, True)])
def test_beside_labels_rewards_refuse_what_is_not_shown_to_be_as_good(value: float, passes: bool) -> None:
    assert (check_rewards(evidence(value), BOUNDS, alone=False)[1] is None) == passes


@pytest.mark.parametrize(("value", "passes"), [(-0.1, False), (-0.025, True)])
def test_beside_labels_doubtful_rewards_refuse_only_a_clear_loss(value: float, passes: bool) -> None:
    reason = check_rewards(evidence(value, DOUBT), BOUNDS, alone=False)[1]
    assert (reason is None) == passes
    assert passes or "the upper end is below -0.02" in (reason or "")


def test_without_rewards_nothing_is_checked() -> None:
    assert check_rewards(None, BOUNDS, alone=False) == ({}, None)


def test_what_a_prediction_earns_is_the_reference_of_the_quality_trigger() -> None:
    assert "reward_candidate" not in check_rewards(evidence(0.05), BOUNDS, alone=True)[0]
    earns = RewardEvidence(evidence(0.05).difference, reward=-0.3)
    assert check_rewards(earns, BOUNDS, alone=True)[0]["reward_candidate"] == -0.3


def test_candidates_that_are_tried_at_once_share_the_error_where_rewards_decide() -> None:
    alone, of_three = (check_rewards(evidence(0.05), BOUNDS, True, candidates)[0] for candidates in (1, 3))
    assert of_three["off_policy_low"] < alone["off_policy_low"]
    beside = [check_rewards(evidence(0.05), BOUNDS, False, candidates)[0] for candidates in (1, 3)]
    assert beside[0] == beside[1]


def test_evaluations_that_saw_some_of_the_rewards_share_the_error_of_the_level() -> None:
    since = datetime(2026, 3, 1, tzinfo=UTC)
    seen = replace(evidence(0.05), since=since)
    before, after = [since - timedelta(days=1)], [since + timedelta(days=1)]

    def low(earlier: list[datetime], alone: bool = True) -> float:
        return check_rewards(seen, BOUNDS, alone, earlier_evaluations=earlier)[0]["off_policy_low"]

    assert low(after) < low(before)
    assert low(after * 2) < low(after)
    assert low(after, alone=False) == low([], alone=False)
