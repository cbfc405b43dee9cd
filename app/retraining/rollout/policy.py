"""The rollout policy of a candidate that passed the gate: shadow, canary at growing shares, champion.

A stage is the share of the requests that the candidate answers: 0 as a shadow, 1 as the champion. Each step is decided
by its own evidence only. If steps of different shares were pooled, a change of the traffic would look like a difference
between the models (Simpson's paradox; Crook et al., "Seven pitfalls to avoid when running controlled experiments on the
web", KDD 2009).
"""

from dataclasses import dataclass
from math import hypot, inf
from statistics import NormalDist
from typing import Literal

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
REWARD_RANGE = (-1.0, 1.0)
"""Of rewards, in every task."""

_COMPARISONS = 3
"""The comparisons in each step: scores, errors, latency."""
_MIN_SCORES = 20
"""Minimum number of scores of each arm for the normal approximation of their mean."""


@dataclass(frozen=True)
class Arm:
    """The results of one of the two versions in this step."""

    answers: int
    """Answered requests: predictions and failures."""
    errors: int
    """Failures among the answers."""
    scores: Floats
    """(labelled,) in the order of their outcomes, from the random audit and explicit accepts only.

    Their selection probability does not depend on the output, so their unweighted mean is unbiased. Volunteers'
    corrections would bias it, and their weights are unknown.
    """
    latencies_ms: Floats
    """(predictions,) from request to answer, in milliseconds."""


@dataclass(frozen=True)
class RolloutEvidence:
    """The results of candidate and champion since the start of the step."""

    candidate: Arm
    champion: Arm
    minutes: float
    """The duration of the step."""
    score_range: Interval = (0.0, 1.0)
    """The lowest and the highest score that the task may give, or the application as a reward."""


@dataclass(frozen=True)
class RolloutDecision:
    """The next action, and its reason."""

    action: Literal["stay", "advance", "roll back"]
    share: float
    """The share of the requests that the candidate answers from now on; 0 after a rollback."""
    reason: str
    """A sentence with the figures."""


@dataclass(frozen=True)
class _Harm:
    """The candidate's loss in one respect, and its tolerance."""

    template: str
    """A sentence with placeholders for the two ends of the interval."""
    interval: Interval
    tolerance: float

    def __str__(self) -> str:
        return f"{self.template.format(*self.interval)}, {self.tolerance:g} is tolerated"


def decide(current_share: float, observed: RolloutEvidence, plan: RolloutSettings) -> RolloutDecision:
    """Return whether to stay, advance or roll back. It may be called after every event.

    Rolls back at once if scores, errors or latency are significantly worse than tolerated. Advances if there is the
    minimum evidence and all three are shown to be within their tolerances.

    After the maximum time of a step, it depends on what is missing. Without enough answers it rolls back: a candidate
    that gets or answers too few requests blocks the next one. Without certainty it advances, unless the scores indicate
    a loss by a test that needs fewer labels because it looks once. Labels are scarce in most deployments: a rollback
    would leave such a task with its first model forever, although the gate has found the candidate better on held-out
    outcomes, and a larger share brings labels to the same tests sooner.
    """
    harms = _sequential_harms(observed, plan)
    if (harmful := _harm_reason(harms, observed, plan)) is not None:
        return RolloutDecision("roll back", SHADOW_SHARE, harmful)
    is_overdue = observed.minutes >= plan.max_minutes
    answers, min_answers = (
        observed.candidate.answers,
        plan.min_shadow_answers if current_share == SHADOW_SHARE else plan.min_answers,
    )
    progress = f"{answers} answers in {round(observed.minutes, 1):g} minutes"
    if answers < min_answers and is_overdue:
        return RolloutDecision("roll back", SHADOW_SHARE, f"Too little evidence: {progress}, of {min_answers} needed.")
    if answers < min_answers or observed.minutes < plan.min_minutes:
        return RolloutDecision(
            "stay", current_share, f"{progress}, of {min_answers} needed in at least {plan.min_minutes:g}."
        )
    next_share = next((share for share in plan.canary_shares if share > current_share), CHAMPION_SHARE)
    undecided = [harm for harm in harms if harm.interval[1] > harm.tolerance]
    if not undecided:
        return RolloutDecision(
            "advance", next_share, f"No worse than the champion, by {progress}: {_format_harms(harms)}."
        )
    if is_overdue:
        return RolloutDecision(
            "advance", next_share, f"Not shown to be worse, by {progress}: {_format_harms(undecided)}."
        )
    return RolloutDecision("stay", current_share, f"{progress}; not settled yet: {_format_harms(undecided)}.")


def harm_reason(observed: RolloutEvidence, plan: RolloutSettings) -> str | None:
    """Return a sentence on what is significantly worse than tolerated; None if nothing is."""
    return _harm_reason(_sequential_harms(observed, plan), observed, plan)


def _harm_reason(harms: list[_Harm], observed: RolloutEvidence, plan: RolloutSettings) -> str | None:
    final = _single_look_harms(observed, plan) if observed.minutes >= plan.max_minutes else []
    significant = [harm for harm in harms + final if harm.interval[0] > harm.tolerance]
    return f"Worse than the champion: {_format_harms(significant)}." if significant else None


def _format_harms(harms: list[_Harm]) -> str:
    return "; ".join(map(str, harms))


def _sequential_harms(observed: RolloutEvidence, plan: RolloutSettings) -> list[_Harm]:
    """Return each loss. Over all steps they use half of `alpha`: by the union bound, half for each arm."""
    alpha = plan.alpha / 2 / (1 + len(plan.canary_shares)) / _COMPARISONS / 2
    candidate, champion = observed.candidate, observed.champion
    score_range = plan.score_range or observed.score_range
    scores = difference_interval(*(_score_interval(arm, score_range, alpha) for arm in (champion, candidate)))
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
    """Return the loss in score by the normal approximation. Over all steps it uses the other half of `alpha`."""
    if min(len(observed.candidate.scores), len(observed.champion.scores)) < _MIN_SCORES:
        return []
    candidate, champion = on_policy(observed.candidate.scores), on_policy(observed.champion.scores)
    loss = champion.value - candidate.value
    errors = hypot(candidate.standard_error, champion.standard_error)
    reach = NormalDist().inv_cdf(1 - plan.alpha / 2 / (1 + len(plan.canary_shares))) * errors
    sentence = "at the end of the step the mean score falls by {:.3f} to {:.3f}"
    return [_Harm(sentence, (loss - reach, loss + reach), plan.max_score_loss)]


def _score_interval(arm: Arm, score_range: Interval, alpha: float) -> Interval:
    """Return the interval of the mean score; the whole range without a score. Scores outside the range widen it."""
    lowest, highest = score_range
    if not len(arm.scores):
        return lowest, highest
    lowest, highest = min(lowest, float(arm.scores.min())), max(highest, float(arm.scores.max()))
    low, high = mean_interval((arm.scores - lowest) / (highest - lowest), alpha)
    return lowest + (highest - lowest) * float(low[-1]), lowest + (highest - lowest) * float(high[-1])


def _ratio_interval(one: Interval, other: Interval) -> Interval:
    """Return the interval of the first quantity divided by the second. Neither is negative."""
    return max(one[0], 0.0) / other[1] if other[1] else 0.0, one[1] / other[0] if other[0] > 0 else inf
