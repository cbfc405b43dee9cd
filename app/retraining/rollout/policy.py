"""The rollout of a candidate that passed the gate: shadow, canary at growing shares, champion, by live evidence.

A stage is the share of the requests that the candidate answers: 0 as a shadow, 1 as the champion. Each step is judged
by its own evidence alone: were steps of different shares put together, a change of the traffic would look like a
difference between the models (Simpson's paradox; Crook et al., "Seven pitfalls to avoid when running controlled
experiments on the web", KDD 2009).
"""

from dataclasses import dataclass
from math import hypot, inf
from statistics import NormalDist
from typing import Literal

import numpy as np

from app.settings.rollout import RolloutSettings
from app.statistics.confidence_sequences import (
    Interval,
    difference_interval,
    mean_interval,
    quantile_interval,
    rate_interval,
)
from models.off_policy import Floats, on_policy

SHADOW_SHARE, CHAMPION_SHARE = 0.0, 1.0

_COMPARISONS = 3
"""Of each step: scores, errors, latency."""
_MIN_SCORES = 20
"""Of each arm: with fewer, their mean can't be taken for normally distributed."""


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
class RolloutEvidence:
    """What was seen of candidate and champion side by side since the step began."""

    candidate: Arm
    champion: Arm
    minutes: float
    """How long the step has lasted."""


@dataclass(frozen=True)
class RolloutDecision:
    """What is to be done now, and why."""

    action: Literal["stay", "advance", "roll back"]
    share: float
    """The share of the requests that the candidate answers from now on; 0 when it is rolled back."""
    reason: str
    """In a sentence, with the figures."""


@dataclass(frozen=True)
class _Harm:
    """By how much the candidate is worse in one respect, and by how much it may be."""

    template: str
    """With places for the two ends of the interval."""
    interval: Interval
    tolerance: float

    def __str__(self) -> str:
        return f"{self.template.format(*self.interval)}, {self.tolerance:g} is tolerated"


def decide(current_share: float, observed: RolloutEvidence, plan: RolloutSettings) -> RolloutDecision:
    """Stay, advance or roll back; may be asked after every event.

    Rolls back at once when scores, errors or latency are significantly worse than tolerated. Advances when the least
    evidence is there and all three are shown to be no worse than tolerated.

    When a step has lasted its longest time, it depends on what is lacking. For want of answers it rolls back: a
    candidate that is asked too little, or does not answer, blocks the next one. For want of certainty it goes on unless
    the scores indicate a loss, by a test that needs fewer labels because it looks once. Labels are scarce in most
    deployments: rolling back would leave such a task with its first model for ever, though the gate has found the
    candidate better on held-out outcomes, and a larger share brings labels sooner to the same tests.
    """
    harms = _sequential_harms(observed, plan)
    if (harmful := _harm_reason(harms, observed, plan)) is not None:
        return RolloutDecision("roll back", SHADOW_SHARE, harmful)
    over = observed.minutes >= plan.max_minutes
    answers, least = (
        observed.candidate.answers,
        plan.min_shadow_answers if current_share == SHADOW_SHARE else plan.min_answers,
    )
    lasted = f"{answers} answers in {round(observed.minutes, 1):g} minutes"
    if answers < least and over:
        return RolloutDecision("roll back", SHADOW_SHARE, f"Too little evidence: {lasted}, of {least} needed.")
    if answers < least or observed.minutes < plan.min_minutes:
        return RolloutDecision("stay", current_share, f"{lasted}, of {least} needed in at least {plan.min_minutes:g}.")
    following = next((share for share in plan.canary_shares if share > current_share), CHAMPION_SHARE)
    open_ = [harm for harm in harms if harm.interval[1] > harm.tolerance]
    if not open_:
        return RolloutDecision(
            "advance", following, f"No worse than the champion, by {lasted}: {_format_harms(harms)}."
        )
    if over:
        return RolloutDecision("advance", following, f"Not shown to be worse, by {lasted}: {_format_harms(open_)}.")
    return RolloutDecision("stay", current_share, f"{lasted}; not settled yet: {_format_harms(open_)}.")


def harm_reason(observed: RolloutEvidence, plan: RolloutSettings) -> str | None:
    """In what the candidate is significantly worse than tolerated, in a sentence; None where it isn't."""
    return _harm_reason(_sequential_harms(observed, plan), observed, plan)


def _harm_reason(harms: list[_Harm], observed: RolloutEvidence, plan: RolloutSettings) -> str | None:
    last = _single_look_harms(observed, plan) if observed.minutes >= plan.max_minutes else []
    found = [harm for harm in harms + last if harm.interval[0] > harm.tolerance]
    return f"Worse than the champion: {_format_harms(found)}." if found else None


def _format_harms(harms: list[_Harm]) -> str:
    return "; ".join(map(str, harms))


def _sequential_harms(observed: RolloutEvidence, plan: RolloutSettings) -> list[_Harm]:
    """In each respect, at a level that keeps half of `alpha` over all steps: by the union bound, half to each arm."""
    alpha = plan.alpha / 2 / (1 + len(plan.canary_shares)) / _COMPARISONS / 2
    candidate, champion = observed.candidate, observed.champion
    scores = difference_interval(_score_interval(champion, plan, alpha), _score_interval(candidate, plan, alpha))
    errors = difference_interval(*(rate_interval(arm.errors, arm.answers, alpha) for arm in (candidate, champion)))
    latency = _ratio_interval(*(quantile_interval(arm.latencies_ms, 0.99, alpha) for arm in (candidate, champion)))
    return [
        _Harm("the mean score falls by {:.3f} to {:.3f}", scores, plan.max_score_loss),
        _Harm("the error rate rises by {:.4f} to {:.4f}", errors, plan.max_error_rate_increase),
        _Harm(
            "the 99th percentile of latency is {:.2f} to {:.2f} times the champion's", latency, plan.max_latency_ratio
        ),
    ]


def _single_look_harms(observed: RolloutEvidence, plan: RolloutSettings) -> list[_Harm]:
    """The loss in score by the normal approximation, at a level that keeps the other half of `alpha` over all steps."""
    if min(len(observed.candidate.scores), len(observed.champion.scores)) < _MIN_SCORES:
        return []
    candidate, champion = on_policy(observed.candidate.scores), on_policy(observed.champion.scores)
    loss = champion.value - candidate.value
    errors = hypot(candidate.standard_error, champion.standard_error)
    reach = NormalDist().inv_cdf(1 - plan.alpha / 2 / (1 + len(plan.canary_shares))) * errors
    sentence = "at the end of the step the mean score falls by {:.3f} to {:.3f}"
    return [_Harm(sentence, (loss - reach, loss + reach), plan.max_score_loss)]


def _score_interval(arm: Arm, plan: RolloutSettings, alpha: float) -> Interval:
    """The mean score's interval; the whole range without a score."""
    least, greatest = plan.score_range
    if not len(arm.scores):
        return least, greatest
    low, high = mean_interval((np.clip(arm.scores, least, greatest) - least) / (greatest - least), alpha)
    return least + (greatest - least) * float(low[-1]), least + (greatest - least) * float(high[-1])


def _ratio_interval(one: Interval, other: Interval) -> Interval:
    """The first over the second, of quantities that are not negative."""
    return max(one[0], 0.0) / other[1] if other[1] else 0.0, one[1] / other[0] if other[0] > 0 else inf
