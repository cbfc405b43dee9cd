"""The comparison of a candidate with the champion in one step of a rollout: how much worse it may be."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

from app.retraining.rollout.harm import Harm
from app.settings.rollout import RolloutSettings
from app.statistics.clusters import ClusterSums, MeanDifference, mean_difference
from app.statistics.confidence_sequences import (
    Interval,
    asymptotic_reach,
    difference_interval,
    mean_interval,
    quantile_interval,
    rate_interval,
)
from app.statistics.histogram import Histogram
from models.off_policy import Floats, on_policy

REWARD_RANGE = (-1.0, 1.0)
"""Of rewards, in every task."""
_COMPARISONS = 3
"""The comparisons in each step: scores, errors, latency."""
_MIN_SCORES = 20
"""Minimum number of scores of each arm, or of pairs, for the normal approximation of their mean."""
_PRECISION = 4
"""The intervals of scores are the narrowest when the standard error is the tolerance divided by this: about then they
are short enough to show that equal versions are equal."""
_LEAST_TOLERANCE = 0.01
"""As a share of the score's range, for that purpose only."""


@dataclass(frozen=True)
class Arm:
    """The results of one of the two versions in this step."""

    answers: int
    """Answered requests: predictions and failures."""
    errors: int
    """Failures among the answers."""
    scores: ClusterSums
    """By key, from the random audit and explicit accepts only; none beside a shadow.

    Their selection probability does not depend on the output, so their unweighted mean is unbiased. Volunteers'
    corrections would bias it, and their weights are unknown.
    """
    latencies_ms: Histogram
    """From request to answer, in milliseconds."""


@dataclass(frozen=True)
class RolloutEvidence:
    """The results of candidate and champion since the start of the step."""

    candidate: Arm
    champion: Arm
    minutes: float
    """The duration of the step."""
    score_range: Interval = (0.0, 1.0)
    """The lowest and the highest score that the task may give, or the application as a reward."""
    losses: Floats | None = None
    """The champion's score less the shadow's on each labelled request (labelled,), in the order of the labels; None
    beside a canary, which answers other requests than the champion. They are selected as the scores are."""


def sequential_harms(observed: RolloutEvidence, plan: RolloutSettings) -> list[Harm]:
    """Return each loss, with an interval that is valid at all looks. Over all steps they use half of `alpha`."""
    alpha = comparison_alpha(plan)
    candidate, champion = observed.candidate, observed.champion
    errors = difference_interval(*(rate_interval(arm.errors, arm.answers, alpha / 2) for arm in (candidate, champion)))
    latency = _ratio_interval(*(_latency_interval(arm, alpha / 2) for arm in (candidate, champion)))
    return [
        _score_harm(observed, plan, alpha),
        Harm("the error rate rises by {:.4f} to {:.4f}", errors, plan.max_error_rate_increase),
        Harm(
            "the 99th percentile of latency is {:.2f} to {:.2f} times the champion's",
            latency,
            plan.max_latency_ratio,
            none=1.0,
        ),
    ]


def comparison_alpha(plan: RolloutSettings) -> float:
    """Return the probability that the interval of one comparison in one step misses the truth at any of its looks."""
    return plan.alpha / 2 / _steps(plan) / _COMPARISONS


def best_error(plan: RolloutSettings, width: float) -> float:
    """Return the standard error at which intervals of scores are the narrowest, for a range of this width."""
    return max(plan.max_score_loss, _LEAST_TOLERANCE * width) / _PRECISION


def single_look_harms(observed: RolloutEvidence, plan: RolloutSettings) -> Iterator[Harm]:
    """Yield the loss in score by the normal approximation. Over all steps it uses the other half of `alpha`."""
    quantile = 1 - plan.alpha / 2 / _steps(plan)
    if observed.losses is not None:
        if len(observed.losses) < _MIN_SCORES:
            return
        loss = on_policy(observed.losses)
        value, reach = loss.value, NormalDist().inv_cdf(quantile) * loss.standard_error
    else:
        difference = _score_difference(observed, plan)
        if difference is None:
            return
        value, reach = difference.value, float(stdtrit(difference.degrees, quantile)) * difference.standard_error
    sentence = "at the end of the step the mean score falls by {:.3f} to {:.3f}"
    yield Harm(sentence, (value - reach, value + reach), plan.max_score_loss)


def _score_harm(observed: RolloutEvidence, plan: RolloutSettings, alpha: float) -> Harm:
    sentence, width = "the mean score falls by {:.3f} to {:.3f}", _width(observed, plan)
    if observed.losses is not None:
        interval = paired_interval(observed.losses, width, alpha)
        return Harm(sentence, interval, plan.max_score_loss, scores=len(observed.losses))
    difference = _score_difference(observed, plan)
    if difference is None:
        return Harm(sentence, (-width, width), plan.max_score_loss)
    wider = stdtrit(difference.degrees, 1 - alpha / 2) / NormalDist().inv_cdf(1 - alpha / 2)
    reach = float(wider) * asymptotic_reach(difference.standard_error, alpha, best_error(plan, width))
    return Harm(
        sentence,
        (difference.value - reach, difference.value + reach),
        plan.max_score_loss,
        scores=int(observed.candidate.scores.count),
        key_share=difference.key_variance / difference.standard_error**2,
    )


def paired_interval(losses: Floats, width: float, alpha: float) -> Interval:
    """Return the interval of the mean loss on the same requests; the whole range without any.

    What makes a request hard is hard for both versions, so that it does not widen the interval. Losses outside the
    range widen it.
    """
    if not len(losses):
        return -width, width
    width = max(width, float(np.abs(losses).max()))
    low, high = mean_interval((losses / width + 1) / 2, alpha)
    return width * (2 * float(low[-1]) - 1), width * (2 * float(high[-1]) - 1)


def _score_difference(observed: RolloutEvidence, plan: RolloutSettings) -> MeanDifference | None:
    """Return by how much the canary's mean is lower; None without enough scores or keys."""
    arms = observed.champion.scores, observed.candidate.scores
    by_key = plan.assignment == "key"
    if min(arm.count for arm in arms) < _MIN_SCORES or (by_key and sum(len(arm.keys) for arm in arms) < 4):
        return None
    return mean_difference(*arms, by_key, doubt=(_width(observed, plan) / 2) ** 2)


def _width(observed: RolloutEvidence, plan: RolloutSettings) -> float:
    lowest, highest = plan.score_range or observed.score_range
    return highest - lowest


def _steps(plan: RolloutSettings) -> int:
    return 1 + len(plan.canary_shares)


def _latency_interval(arm: Arm, alpha: float) -> Interval:
    return quantile_interval(arm.latencies_ms.values, 0.99, alpha, arm.latencies_ms.counts)


def _ratio_interval(one: Interval, other: Interval) -> Interval:
    """Return the interval of the first quantity divided by the second. Neither is negative."""
    return max(one[0], 0.0) / other[1] if other[1] else 0.0, one[1] / other[0] if other[0] > 0 else inf
