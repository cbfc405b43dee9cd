"""Decisions on a step of a rollout."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from app.retraining.rollout.comparison import REWARD_RANGE, Arm, RolloutEvidence
from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE, RolloutDecision, decide
from app.settings.rollout import RolloutSettings
from tests.support.rollout_arms import by_value, make_arm, sum_scores

PLAN = RolloutSettings(
    assignment="request", min_minutes=10, max_minutes=200, max_score_loss=0.05, max_error_rate_increase=0.02
)
BY_KEY = PLAN.model_copy(update={"assignment": "key"})
NONE = np.empty(0)


QUIET = Arm(0, 0, sum_scores(NONE), by_value(NONE))


def test_a_step_stays_until_its_minimum_of_answers_and_minutes() -> None:
    plenty = make_arm(100_000, labels=10_000)
    few = decide(0.05, RolloutEvidence(make_arm(199), plenty, 60), PLAN)
    assert few == RolloutDecision("stay", 0.05, "199 answers in 60 minutes, of 200 needed in at least 10.")
    assert decide(0.05, RolloutEvidence(plenty, plenty, 9), PLAN).action == "stay"
    assert decide(0.05, RolloutEvidence(plenty, plenty, 10), PLAN).action == "advance"


def test_an_undecided_step_stays_and_advances_after_max_minutes() -> None:
    candidate, champion = make_arm(5000, labels=25), make_arm(5000, labels=25)
    waiting = decide(0.25, RolloutEvidence(candidate, champion, 199), PLAN)
    assert (waiting.action, waiting.share) == ("stay", 0.25)
    assert "the mean score falls by" in waiting.reason
    assert "0.1 is tolerated at a share of 50% (about " in waiting.reason
    assert "latency" not in waiting.reason, "that is settled"
    going = decide(0.25, RolloutEvidence(candidate, champion, 200), PLAN)
    assert (going.action, going.share) == ("advance", 0.5)
    assert going.reason.startswith("Not shown to be worse, by 5000 answers in 200 minutes: the mean score falls by")


def test_a_few_labels_that_indicate_a_loss_roll_back_at_the_end_of_a_step() -> None:
    scores = np.resize([0.7, 0.9], 60)
    champion, worse, hardly = (replace(make_arm(5000), scores=sum_scores(scores - loss)) for loss in (0.0, 0.14, 0.09))
    assert decide(0.25, RolloutEvidence(worse, champion, 199), PLAN).action == "stay", "many looks need more"
    decision = decide(0.25, RolloutEvidence(worse, champion, 200), PLAN)
    assert (decision.action, decision.share) == ("roll back", 0)
    assert decision.reason.startswith("Worse than the champion: at the end of the step the mean score falls by 0.08")
    assert decide(0.25, RolloutEvidence(hardly, champion, 200), PLAN).action == "advance"


def test_very_few_labels_indicate_no_loss() -> None:
    champion, candidate = make_arm(5000, score=1.0, labels=1000), make_arm(5000, score=0.0, labels=3)
    assert decide(0.25, RolloutEvidence(candidate, champion, 200), PLAN).action == "advance"


def test_a_candidate_that_does_not_answer_is_rolled_back_after_max_minutes() -> None:
    decision = decide(0.05, RolloutEvidence(make_arm(3), make_arm(100_000), 200), PLAN)
    assert decision == RolloutDecision("roll back", 0, "Too little evidence: 3 answers in 200 minutes, of 200 needed.")


def test_a_shadow_has_its_own_minimum_of_answers() -> None:
    plan = PLAN.model_copy(update={"min_shadow_answers": 1000})
    observed = RolloutEvidence(make_arm(999, labels=999), make_arm(100_000, labels=10_000), 20)
    assert "of 1000 needed" in decide(SHADOW_SHARE, observed, plan).reason
    assert "needed" not in decide(0.05, observed, plan).reason


def test_a_significant_loss_is_rolled_back_before_the_minimum_evidence_with_its_figures() -> None:
    decision = decide(0.05, RolloutEvidence(make_arm(100, errors=60), make_arm(2000), 0.5), PLAN)
    assert (decision.action, decision.share) == ("roll back", 0)
    assert decision.reason.startswith("Worse than the champion: the error rate rises by 0.3")
    assert decision.reason.endswith("0.02 is tolerated.")


def test_a_loss_within_the_tolerance_is_not_rolled_back() -> None:
    champion = make_arm(50_000, errors=500, score=0.80, labels=50_000)
    candidate = make_arm(50_000, errors=1000, score=0.77, labels=50_000, latency_ms=25)
    assert decide(0.5, RolloutEvidence(candidate, champion, 20), PLAN).action == "advance"
    strict = PLAN.model_copy(update={"max_score_loss": 0.01})
    assert decide(0.5, RolloutEvidence(candidate, champion, 20), strict).action == "roll back"


@pytest.mark.parametrize("score_range", [None, (-1.0, 1.0), (0.0, 1.0)])
def test_a_policy_that_earns_less_than_0_is_rolled_back_whatever_the_range_says(
    score_range: tuple[float, float] | None,
) -> None:
    plan = PLAN.model_copy(update={"score_range": score_range})
    for lowest, champion in ((-1.0, 0.0), (-0.9, -0.2)):
        for observed_range in ((0.0, 1.0), REWARD_RANGE):
            worse, other = (make_arm(5000, score=earned, labels=2000) for earned in (lowest, champion))
            observed = RolloutEvidence(worse, other, 20, observed_range)
            for share in (0.05, 0.25, 0.5):
                assert decide(share, observed, plan).action == "roll back"


def test_scores_need_more_evidence_in_a_wider_range() -> None:
    arm = make_arm(5000, score=0.8, labels=300)
    narrow, wide = (RolloutEvidence(arm, arm, 20, score_range) for score_range in ((0.0, 1.0), REWARD_RANGE))
    assert decide(0.5, narrow, PLAN).reason != decide(0.5, wide, PLAN).reason
    set_by_hand = PLAN.model_copy(update={"score_range": (0.0, 1.0)})
    assert decide(0.5, narrow, PLAN) == decide(0.5, wide, set_by_hand)


def test_a_share_that_the_settings_no_longer_have_advances_to_the_next_larger_one() -> None:
    plenty = make_arm(100_000, labels=10_000)
    assert decide(0.1, RolloutEvidence(plenty, plenty, 60), PLAN).share == 0.25
    assert decide(0.7, RolloutEvidence(plenty, plenty, 60), PLAN).share == CHAMPION_SHARE


def test_a_canary_by_key_that_gets_no_traffic_gets_more_keys() -> None:
    """A small share of few keys may have none of them."""
    decision = decide(0.05, RolloutEvidence(make_arm(3), make_arm(100_000), 200), BY_KEY)
    assert (decision.action, decision.share) == ("advance", 0.25)
    assert decision.reason == "Its keys have too little traffic: 3 answers in 200 minutes, of 200 needed."


def test_a_small_share_grows_by_less_evidence_than_a_large_one() -> None:
    """What is tolerated of all requests is tolerated of a share of them, divided by it."""
    observed = RolloutEvidence(make_arm(5000, labels=40), make_arm(100_000, labels=800), 20)
    assert decide(0.05, observed, PLAN).share == 0.25
    waiting = decide(0.5, observed, PLAN)
    assert waiting.action == "stay"
    assert "0.05 is tolerated (about " in waiting.reason


def test_the_reason_says_how_many_more_scores_are_needed() -> None:
    def seen(count: int) -> RolloutEvidence:
        scores = sum_scores(np.resize([1.0, 1.0, 1.0, 1.0, 0.0], count))
        arm = replace(make_arm(100_000), scores=scores)
        return RolloutEvidence(arm, arm, 20)

    few = decide(0.5, seen(1000), PLAN)
    needed = int(few.reason.split("about ")[1].split()[0])
    assert decide(0.5, seen(1000 + needed // 2), PLAN).action == "stay"
    assert decide(0.5, seen(1000 + needed * 5 // 4), PLAN).action == "advance"


def test_a_loss_on_the_same_requests_is_found_by_few_labels() -> None:
    """What makes a request hard is hard for both, and widens only intervals of different requests."""
    rng = np.random.default_rng(0)
    champion = (rng.random(800) < 0.8).astype(float)
    worse = np.where(rng.random(800) < 0.15, 0.0, champion)
    arms = [replace(make_arm(800), scores=sum_scores(scores)) for scores in (worse, champion)]
    assert decide(0.5, RolloutEvidence(arms[0], arms[1], 20), PLAN).action == "stay"
    paired = RolloutEvidence(make_arm(800), make_arm(800), 20, losses=champion - worse)
    assert decide(SHADOW_SHARE, paired, PLAN).action == "roll back"


def test_a_step_stays_without_evidence() -> None:
    assert decide(SHADOW_SHARE, RolloutEvidence(QUIET, QUIET, 0, losses=NONE), PLAN).action == "stay"


@pytest.mark.parametrize(
    "wrong",
    [
        {"canary_shares": (0.5, 0.25)},
        {"canary_shares": (0.5, 1.0)},
        {"score_range": (1.0, 0.0)},
        {"min_minutes": 2.0, "max_minutes": 1.0},
        {"share": 0.5},
    ],
)
def test_inconsistent_rollout_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RolloutSettings.model_validate(wrong)
