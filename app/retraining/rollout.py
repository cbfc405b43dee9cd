"""The rollout of a candidate that passed the gate: shadow, canary at growing shares, champion, by live evidence.

A stage is the share of the requests that the candidate answers: 0 as a shadow, 1 as the champion. Each step is judged
by its own evidence alone: were steps of different shares put together, a change of the traffic would look like a
difference between the models (Simpson's paradox; Crook et al., "Seven pitfalls to avoid when running controlled
experiments on the web", KDD 2009).
"""

from dataclasses import dataclass
from itertools import pairwise
from math import hypot, inf
from statistics import NormalDist
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.retraining.sequential import Interval, difference, mean, quantile, rate
from models.off_policy import Floats, on_policy

SHADOW, CHAMPION = 0.0, 1.0

_COMPARISONS = 3
"""Of each step: scores, errors, latency."""
_FEWEST_SCORES = 20
"""Of each arm: with fewer, their mean can't be taken for normally distributed."""


class Plan(BaseModel):
    """The steps of a rollout, and what it takes to go from one to the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shadow_answers: Annotated[int, Field(ge=1)] = 200
    """Least predictions of the candidate as a shadow."""
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.05, 0.25, 0.5)
    """The shares of the requests that the candidate answers as a canary, growing."""
    answers: Annotated[int, Field(ge=1)] = 200
    """Least answers of the candidate in each step as a canary."""
    minutes: Annotated[float, Field(ge=0)] = 10.0
    """Least minutes of each step."""
    longest_minutes: Annotated[float, Field(gt=0)] = 24 * 60.0
    """Longest time that a step waits for certainty, which takes more than the least answers: with these settings 1100
    before a 99th percentile is bounded, and as many before an error rate of 0 is known to be below 0.01."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability of rolling back, in the whole rollout, a candidate that is no worse than tolerated."""
    score_range: tuple[float, float] = (0.0, 1.0)
    """The least and the greatest score; what is outside counts as the nearer end. Rewards are in [-1, 1]."""
    score_loss: Annotated[float, Field(ge=0)] = 0.02
    """By how much the candidate's mean score may be below the champion's."""
    error_increase: Annotated[float, Field(ge=0)] = 0.01
    """By how much the candidate's error rate may be above the champion's."""
    latency_ratio: Annotated[float, Field(ge=1)] = 1.5
    """How many times the champion's 99th percentile of latency the candidate's may be."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.shares)):
            raise ValueError("shares must grow from step to step")
        if self.score_range[0] >= self.score_range[1]:
            raise ValueError("score_range must be from the least to the greatest score")
        if self.minutes > self.longest_minutes:
            raise ValueError("minutes must not be more than longest_minutes")
        return self


@dataclass(frozen=True)
class Arm:
    """What one of the two versions did in this step."""

    answers: int
    """Requests that it answered, by a prediction or by a failure."""
    errors: int
    """Of these, failures."""
    scores: Floats
    """(labelled,) in the order of their outcomes, of the random audit and explicit accepts only.

    All of them are drawn with a probability that does not depend on what they say, so each counts the same: their
    mean is unbiased with no weights. Volunteers' corrections would bias it, and no weight is known for them.
    """
    latencies_ms: Floats
    """(predictions,) from request to answer, in milliseconds."""


@dataclass(frozen=True)
class Observed:
    """What was seen of candidate and champion side by side since the step began."""

    candidate: Arm
    champion: Arm
    minutes: float
    """How long the step has lasted."""


@dataclass(frozen=True)
class Decision:
    """What is to be done now, and why."""

    action: Literal["stay", "advance", "roll back"]
    stage: float
    """The share of the requests that the candidate answers from now on; 0 when it is rolled back."""
    reason: str
    """In a sentence, with the figures."""


@dataclass(frozen=True)
class _Harm:
    """By how much the candidate is worse in one respect, and by how much it may be."""

    sentence: str
    """With places for the two ends of the interval."""
    interval: Interval
    tolerated: float

    def __str__(self) -> str:
        return f"{self.sentence.format(*self.interval)}, {self.tolerated:g} is tolerated"


def decide(stage: float, observed: Observed, plan: Plan) -> Decision:
    """Stay, advance or roll back; may be asked after every event.

    Rolls back at once when scores, errors or latency are significantly worse than tolerated. Advances when the least
    evidence is there and all three are shown to be no worse than tolerated.

    When a step has lasted its longest time, it depends on what is lacking. For want of answers it rolls back: a
    candidate that is asked too little, or does not answer, blocks the next one. For want of certainty it goes on unless
    the scores indicate a loss, by a test that needs fewer labels because it looks once. Labels are scarce in most
    deployments: rolling back would leave such a task with its first model for ever, though the gate has found the
    candidate better on held-out outcomes, and a larger share brings labels sooner to the same tests.
    """
    harms = _harms(observed, plan)
    if (harmful := _exceeding(harms, observed, plan)) is not None:
        return Decision("roll back", SHADOW, harmful)
    over = observed.minutes >= plan.longest_minutes
    answers, least = observed.candidate.answers, plan.shadow_answers if stage == SHADOW else plan.answers
    lasted = f"{answers} answers in {round(observed.minutes, 1):g} minutes"
    if answers < least and over:
        return Decision("roll back", SHADOW, f"Too little evidence: {lasted}, of {least} needed.")
    if answers < least or observed.minutes < plan.minutes:
        return Decision("stay", stage, f"{lasted}, of {least} needed in at least {plan.minutes:g}.")
    following = next((share for share in plan.shares if share > stage), CHAMPION)
    open_ = [harm for harm in harms if harm.interval[1] > harm.tolerated]
    if not open_:
        return Decision("advance", following, f"No worse than the champion, by {lasted}: {_listed(harms)}.")
    if over:
        return Decision("advance", following, f"Not shown to be worse, by {lasted}: {_listed(open_)}.")
    return Decision("stay", stage, f"{lasted}; not settled yet: {_listed(open_)}.")


def worse(observed: Observed, plan: Plan) -> str | None:
    """In what the candidate is significantly worse than tolerated, in a sentence; None where it isn't."""
    return _exceeding(_harms(observed, plan), observed, plan)


def _exceeding(harms: list[_Harm], observed: Observed, plan: Plan) -> str | None:
    last = _at_one_look(observed, plan) if observed.minutes >= plan.longest_minutes else []
    found = [harm for harm in harms + last if harm.interval[0] > harm.tolerated]
    return f"Worse than the champion: {_listed(found)}." if found else None


def _listed(harms: list[_Harm]) -> str:
    return "; ".join(map(str, harms))


def _harms(observed: Observed, plan: Plan) -> list[_Harm]:
    """In each respect, at a level that keeps half of `alpha` over all steps: by the union bound, half to each arm."""
    alpha = plan.alpha / 2 / (1 + len(plan.shares)) / _COMPARISONS / 2
    candidate, champion = observed.candidate, observed.champion
    scores = difference(_score(champion, plan, alpha), _score(candidate, plan, alpha))
    errors = difference(*(rate(arm.errors, arm.answers, alpha) for arm in (candidate, champion)))
    latency = _ratio(*(quantile(arm.latencies_ms, 0.99, alpha) for arm in (candidate, champion)))
    return [
        _Harm("the mean score falls by {:.3f} to {:.3f}", scores, plan.score_loss),
        _Harm("the error rate rises by {:.4f} to {:.4f}", errors, plan.error_increase),
        _Harm("the 99th percentile of latency is {:.2f} to {:.2f} times the champion's", latency, plan.latency_ratio),
    ]


def _at_one_look(observed: Observed, plan: Plan) -> list[_Harm]:
    """The loss in score by the normal approximation, at a level that keeps the other half of `alpha` over all steps."""
    if min(len(observed.candidate.scores), len(observed.champion.scores)) < _FEWEST_SCORES:
        return []
    candidate, champion = on_policy(observed.candidate.scores), on_policy(observed.champion.scores)
    loss = champion.value - candidate.value
    errors = hypot(candidate.standard_error, champion.standard_error)
    reach = NormalDist().inv_cdf(1 - plan.alpha / 2 / (1 + len(plan.shares))) * errors
    sentence = "at the end of the step the mean score falls by {:.3f} to {:.3f}"
    return [_Harm(sentence, (loss - reach, loss + reach), plan.score_loss)]


def _score(arm: Arm, plan: Plan, alpha: float) -> Interval:
    """The mean score's interval; the whole range without a score."""
    least, greatest = plan.score_range
    if not len(arm.scores):
        return least, greatest
    low, high = mean((np.clip(arm.scores, least, greatest) - least) / (greatest - least), alpha)
    return least + (greatest - least) * float(low[-1]), least + (greatest - least) * float(high[-1])


def _ratio(one: Interval, other: Interval) -> Interval:
    """The first over the second, of quantities that are not negative."""
    return max(one[0], 0.0) / other[1] if other[1] else 0.0, one[1] / other[0] if other[0] > 0 else inf
