"""Rollouts in simulated traffic: worse candidates are rolled back early, others are promoted."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from app.retraining.rollout.comparison import Arm, RolloutEvidence
from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE, RolloutDecision, decide
from app.settings.rollout import RolloutSettings
from app.statistics.histogram import Histogram
from models.off_policy import Floats
from tests.support.rollout_arms import by_value, sum_scores

PLAN = RolloutSettings(
    assignment="request", min_minutes=10, max_minutes=200, max_score_loss=0.05, max_error_rate_increase=0.02
)
NONE = np.empty(0)


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
        scores, latencies = self._scores[:count][labelled], self._latencies[:count][~failed]
        return Arm(count, int(failed.sum()), sum_scores(scores), by_value(latencies))

    def losses_beside(self, champion: "Traffic", minutes: float) -> Floats:
        """Return the losses on the labelled requests that both answered."""
        count = int(np.searchsorted(self._arrivals, minutes, side="right"))
        both = self._labelled[:count] & champion._labelled[:count]
        losses: Floats = (champion._scores[:count] - self._scores[:count])[both]
        return losses


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
        losses = one.losses_beside(other, minutes) if stage == SHADOW_SHARE else None
        decision = decide(
            stage, RolloutEvidence(one.until(minutes), other.until(minutes), minutes, losses=losses), plan
        )
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


@pytest.mark.parametrize("a_second", [20, 100])
def test_a_disturbance_of_both_arms_alike_rolls_nothing_back(a_second: int) -> None:
    """In five minutes answers take five times as long, and a third of them fail."""
    rng = np.random.default_rng(0)
    arrivals = np.arange(1, 60 * 60 * a_second + 1) / 60 / a_second
    disturbed = (arrivals > 20) & (arrivals < 25)
    failed = rng.random(len(arrivals)) < np.where(disturbed, 0.3, 0.005)
    latencies = 20 * rng.lognormal(0, 0.3, len(arrivals)) * np.where(disturbed, 5, 1)
    served = rng.random(len(arrivals)) < 0.05

    def arm(part: NDArray[np.bool_]) -> Arm:
        bins, counts = np.unique(latencies[part & ~failed].round(1), return_counts=True)
        return Arm(int(part.sum()), int((part & failed).sum()), sum_scores(NONE), Histogram(bins, counts))

    for minute in range(19, 60, 2):
        so_far = arrivals <= minute
        observed = RolloutEvidence(arm(so_far & served), arm(so_far & ~served), minute)
        assert decide(0.05, observed, PLAN).action != "roll back"
