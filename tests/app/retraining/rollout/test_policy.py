"""Rollouts in simulated traffic: worse candidates are rolled back early, others are promoted."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pydantic import ValidationError

from app.retraining.rollout.policy import (
    CHAMPION_SHARE,
    REWARD_RANGE,
    SHADOW_SHARE,
    Arm,
    RolloutDecision,
    RolloutEvidence,
    decide,
)
from app.settings.rollout import RolloutSettings
from models.off_policy import Floats

PLAN = RolloutSettings(min_minutes=10, max_minutes=200, max_score_loss=0.05, max_error_rate_increase=0.02)
NONE = np.empty(0)
QUIET = Arm(0, 0, NONE, NONE)


@dataclass(frozen=True)
class SimulatedModel:
    """The quality of a simulated model."""

    score: float = 0.8
    errors: float = 0.005
    latency_ms: float = 20.0
    labelled: float = 1.0


EQUAL = SimulatedModel()


class Traffic:
    """The answers of a model to requests in their order."""

    def __init__(self, rng: np.random.Generator, model: SimulatedModel, arrivals: Floats) -> None:
        count = len(arrivals)
        self._arrivals = arrivals
        self._failed = rng.random(count) < model.errors
        self._scores = np.clip(rng.normal(model.score, 0.1, count), 0, 1)
        self._labelled = (rng.random(count) < model.labelled) & ~self._failed
        self._latencies = model.latency_ms * rng.lognormal(0, 0.3, count)

    def until(self, minutes: float) -> Arm:
        count = int(np.searchsorted(self._arrivals, minutes, side="right"))
        failed, labelled = self._failed[:count], self._labelled[:count]
        return Arm(count, int(failed.sum()), self._scores[:count][labelled], self._latencies[:count][~failed])


def run_step(
    rng: np.random.Generator,
    stage: float,
    plan: RolloutSettings,
    candidate: SimulatedModel,
    a_minute: int,
    pause: float,
) -> tuple[RolloutDecision, int]:
    """Return the decision that ends a step, called after every pause, and the requests that the candidate served."""
    arrivals = np.arange(1, int(a_minute * plan.max_minutes) + 1) / a_minute
    served = rng.random(len(arrivals)) < stage
    if stage == SHADOW_SHARE:
        own, others = arrivals, arrivals
    else:
        own, others = arrivals[served], arrivals[~served]
    one, other = Traffic(rng, candidate, own), Traffic(rng, EQUAL, others)
    minutes = 0.0
    while True:
        minutes += pause
        decision = decide(stage, RolloutEvidence(one.until(minutes), other.until(minutes), minutes), plan)
        if decision.action != "stay":
            return decision, 0 if stage == SHADOW_SHARE else one.until(minutes).answers


def run_rollout(
    seed: int,
    candidate: SimulatedModel,
    plan: RolloutSettings = PLAN,
    a_minute: int = 100,
    pause: float = 5.0,
    in_shadow: bool = True,
) -> tuple[list[float], int]:
    """Return the stages of a candidate, the last 0 after a rollback, and the requests it served."""
    rng, stages, total = np.random.default_rng(seed), [SHADOW_SHARE], 0
    while stages[-1] != CHAMPION_SHARE:
        model = candidate if in_shadow or stages[-1] != SHADOW_SHARE else replace(candidate, labelled=0.0)
        decision, served = run_step(rng, stages[-1], plan, model, a_minute, pause)
        total += served
        stages.append(decision.share)
        if decision.action == "roll back":
            break
    return stages, total


def test_an_equal_candidate_passes_every_step() -> None:
    for seed in range(10):
        stages, _ = run_rollout(seed, EQUAL)
        assert stages == [0, 0.05, 0.25, 0.5, 1]


def test_an_equal_candidate_is_promoted_even_with_few_or_no_labels() -> None:
    for seed in range(5):
        assert run_rollout(seed, replace(EQUAL, labelled=0.01))[0] == [0, 0.05, 0.25, 0.5, 1]
        assert run_rollout(seed, replace(EQUAL, labelled=0.0))[0] == [0, 0.05, 0.25, 0.5, 1]


@pytest.mark.parametrize("bad", [replace(EQUAL, errors=0.1), replace(EQUAL, latency_ms=60), replace(EQUAL, score=0.6)])
def test_a_candidate_that_is_worse_as_a_shadow_never_serves(bad: SimulatedModel) -> None:
    for seed in range(10):
        assert run_rollout(seed, bad) == ([0, 0], 0)


def test_a_loss_that_only_users_see_is_rolled_back_after_few_answers() -> None:
    for seed in range(10):
        stages, served = run_rollout(seed, replace(EQUAL, score=0.6), in_shadow=False)
        assert stages == [0, 0.05, 0]
        assert served < 200


def test_false_rollbacks_stay_below_alpha_with_a_look_after_every_event_and_no_tolerance() -> None:
    plan = RolloutSettings(
        min_shadow_answers=80,
        canary_shares=(0.5,),
        min_answers=20,
        min_minutes=1,
        max_minutes=100,
        alpha=0.1,
        max_score_loss=0,
        max_error_rate_increase=0,
        max_latency_ratio=1,
    )
    rolled_back = 0
    for seed in range(80):
        stages, _ = run_rollout(seed, EQUAL, plan, a_minute=1, pause=1)
        rolled_back += stages[-1] == SHADOW_SHARE
    assert rolled_back / 80 <= plan.alpha


def make_arm(answers: int, errors: int = 0, score: float = 0.8, labels: int = 0, latency_ms: float = 20.0) -> Arm:
    return Arm(answers, errors, np.full(labels, score), np.full(answers - errors, latency_ms))


def test_a_step_stays_until_its_minimum_of_answers_and_minutes() -> None:
    plenty = make_arm(100_000, labels=10_000)
    few = decide(0.05, RolloutEvidence(make_arm(199), plenty, 60), PLAN)
    assert few == RolloutDecision("stay", 0.05, "199 answers in 60 minutes, of 200 needed in at least 10.")
    assert decide(0.05, RolloutEvidence(plenty, plenty, 9), PLAN).action == "stay"
    assert decide(0.05, RolloutEvidence(plenty, plenty, 10), PLAN).action == "advance"


def test_an_undecided_step_stays_and_advances_after_max_minutes() -> None:
    candidate, champion = make_arm(5000, labels=100), make_arm(5000, labels=100)
    waiting = decide(0.25, RolloutEvidence(candidate, champion, 199), PLAN)
    assert (waiting.action, waiting.share) == ("stay", 0.25)
    assert "the mean score falls by" in waiting.reason
    assert "0.05 is tolerated" in waiting.reason
    assert "latency" not in waiting.reason, "that is settled"
    going = decide(0.25, RolloutEvidence(candidate, champion, 200), PLAN)
    assert (going.action, going.share) == ("advance", 0.5)
    assert going.reason.startswith("Not shown to be worse, by 5000 answers in 200 minutes: the mean score falls by")


def test_a_few_labels_that_indicate_a_loss_roll_back_at_the_end_of_a_step() -> None:
    champion = Arm(5000, 0, np.resize([0.7, 0.9], 60), np.full(5000, 20.0))
    worse, hardly = (replace(champion, scores=champion.scores - loss) for loss in (0.12, 0.09))
    assert decide(0.25, RolloutEvidence(worse, champion, 199), PLAN).action == "stay", "many looks need more"
    decision = decide(0.25, RolloutEvidence(worse, champion, 200), PLAN)
    assert (decision.action, decision.share) == ("roll back", 0)
    assert decision.reason.startswith("Worse than the champion: at the end of the step the mean score falls by 0.07")
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


def test_a_step_stays_without_evidence() -> None:
    assert decide(SHADOW_SHARE, RolloutEvidence(QUIET, QUIET, 0), PLAN).action == "stay"


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
