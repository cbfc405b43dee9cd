"""The elimination of candidates that are shadows at the same time, until the best is known.

Each labelled request gives the score of the champion and of every candidate, so that all differences are paired and
what makes a request hard does not widen them (races with blocking: Moore & Lee, "Efficient algorithms for minimizing
cross validation error", ICML 1994). A candidate is eliminated once an interval shows it worse than another version by
more than is tolerated. The best is known once one candidate is left, or once no other can be better by more than is
tolerated (successive elimination: Even-Dar, Mannor & Mansour, "Action elimination and stopping conditions for the
multi-armed bandit and reinforcement learning problems", JMLR 2006). All intervals together hold at all looks with the
probability of one comparison in one step of a rollout (Bonferroni), so that the best is eliminated no more often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import ndtri, stdtrit

from app.retraining.rollout.comparison import best_error, comparison_alpha, paired_interval
from app.settings.rollout import RolloutSettings
from app.statistics.confidence_sequences import Interval, asymptotic_reach
from app.statistics.mean_intervals import clustered_error
from models.off_policy import Floats


@dataclass(frozen=True)
class ShadowScores:
    """The scores of the champion and of candidates on the same requests since all of them predict."""

    champion: str
    candidates: tuple[str, ...]
    scores: Floats
    """(requests, 1 + candidates), the champion's first, in the order of the labels; NaN where a candidate did not
    answer."""
    keys: Sequence[str]
    """The key of each request (requests,); requests of one key may depend on each other."""
    minutes: float
    """How long all of them predict."""
    score_range: Interval = (0.0, 1.0)


@dataclass(frozen=True)
class PairedLoss:
    """By how much a candidate's mean score is below that of another version, on the requests that both answered."""

    candidate: str
    other: str
    requests: int
    mean: float
    """0 without requests."""
    interval: Interval
    """Valid at all looks, together with those of all other pairs."""


@dataclass(frozen=True)
class Elimination:
    """Which candidates remain."""

    losses: tuple[PairedLoss, ...]
    """Of each candidate, compared with each other version."""
    eliminated: dict[str, str]
    """The reason of each eliminated candidate, by its version."""
    remaining: tuple[str, ...]
    """The other candidates, by their mean score less the champion's; of equal ones the lowest version first."""
    is_decided: bool
    """Whether the first of the remaining candidates, if any, is the best as far as can be known."""


def eliminate(observed: ShadowScores, plan: RolloutSettings, started: int = 0) -> Elimination:
    """Compare each candidate with each other version. It may be called after every label.

    After the maximum time of a step the best so far is taken, as certain or not. `started` is the number of candidates
    at the start, if some are gone: their comparisons have used their share of the error.
    """
    losses = {(loss.candidate, loss.other): loss for loss in _losses(observed, plan, started)}
    tolerated = plan.max_score_loss
    eliminated: dict[str, str] = {}
    for loss in losses.values():
        if loss.interval[0] > tolerated:
            eliminated.setdefault(loss.candidate, _describe(loss, tolerated))
    remaining = sorted(
        (candidate for candidate in observed.candidates if candidate not in eliminated),
        key=lambda candidate: (losses[candidate, observed.champion].mean, int(candidate)),
    )
    is_overdue = observed.minutes >= plan.max_minutes
    is_best = all(losses[remaining[0], other].interval[1] <= tolerated for other in remaining[1:])
    return Elimination(tuple(losses.values()), eliminated, tuple(remaining), is_overdue or is_best)


def losing_versions(observed: ShadowScores, plan: RolloutSettings, started: int) -> dict[str, str]:
    """Return the candidates that are out, each with the reason: all but the best, once it is known."""
    result = eliminate(observed, plan, started)
    if not result.is_decided or not result.remaining:
        return result.eliminated
    best, *others = result.remaining
    reason = f"Version {best} of the same run is the best, as far as {len(observed.scores)} labels tell."
    return result.eliminated | dict.fromkeys(others, reason)


def _losses(observed: ShadowScores, plan: RolloutSettings, started: int) -> list[PairedLoss]:
    """Return the loss of each candidate beside each other version: two of each pair of candidates."""
    pairs = list(combinations(enumerate((observed.champion, *observed.candidates)), 2))
    alpha = comparison_alpha(plan) / max(len(pairs), comb(1 + started, 2))
    lowest, highest = plan.score_range or observed.score_range
    _, clusters = np.unique(np.array(observed.keys), return_inverse=True)
    losses = []
    for (others, other), (own, version) in pairs:
        differences = observed.scores[:, others] - observed.scores[:, own]
        both = np.flatnonzero(np.isfinite(differences))
        mean, (low, high) = _mean_loss(differences[both], clusters[both].tolist(), highest - lowest, alpha, plan)
        losses.append(PairedLoss(version, other, len(both), mean, (low, high)))
        if other != observed.champion:
            losses.append(PairedLoss(other, version, len(both), -mean, (-high, -low)))
    return losses


def _mean_loss(
    losses: Floats, keys: Sequence[int], width: float, alpha: float, plan: RolloutSettings
) -> tuple[float, Interval]:
    """Return the mean of losses (N,) and the wider of two intervals, cut to the range.

    One is that of a shadow's rollout, which reckons with rare losses and takes requests one by one. The other takes
    keys one by one, because requests of one key resemble each other; it is for means of many keys.
    """
    low, high = paired_interval(losses, width, alpha)
    if not len(losses):
        return 0.0, (low, high)
    mean, error, count = clustered_error(losses, np.ones(len(losses)), keys)
    reach = np.inf
    if count > 1:
        wider = stdtrit(count - 1, 1 - alpha / 2) / ndtri(1 - alpha / 2)
        reach = float(wider) * asymptotic_reach(error, alpha, best_error(plan, width))
    return mean, (min(low, max(mean - reach, -width)), max(high, min(mean + reach, width)))


def _describe(loss: PairedLoss, tolerated: float) -> str:
    low, high = loss.interval
    return (
        f"On {loss.requests} requests its mean score is {low:.3f} to {high:.3f} below that of version {loss.other},"
        f" {tolerated:g} is tolerated."
    )
