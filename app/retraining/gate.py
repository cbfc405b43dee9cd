"""The gate: whether a candidate may go on to shadow and canary, by what it is worth before it serves anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from app.retraining.bootstrap import weighted_mean
from models.off_policy import Estimate, Floats


class Bounds(BaseModel):
    """What a candidate owes to pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcomes: Annotated[int, Field(ge=2)] = 100
    """Least held-out outcomes."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of every confidence interval, two-sided."""
    improvement: float = 0.0
    """What the lower end of the interval of the mean difference in score, candidate less champion, must exceed."""
    slice_outcomes: Annotated[int, Field(ge=2)] = 30
    """Least held-out outcomes of a slice to be judged: fewer show nothing."""
    slice_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """By how much the candidate may be worse on a slice: one whose whole interval is below this is refused."""
    forgetting: Annotated[float, Field(ge=0)] = 0.10
    """By which part of its own the champion's error, 1 - mean score, may grow on the original test set."""
    unanswered: Annotated[float, Field(ge=0, le=1)] = 0.001
    """The share of what was served in the past that the candidate may fail to answer."""
    off_policy_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """By how much the lower end of the off-policy difference's interval may be below 0."""
    latency_ratio: Annotated[float, Field(gt=0)] = 1.5
    """How many times the champion's latency the candidate's may be."""
    latency_ms: Annotated[float, Field(gt=0)] = 1000.0
    """The candidate's greatest latency, in milliseconds."""
    size_bytes: Annotated[int, Field(ge=1)] = 1024 * 1024 * 1024
    """The greatest size of the candidate's file."""


@dataclass(frozen=True)
class Pair:
    """A held-out outcome, and how both versions score on it."""

    candidate: float
    champion: float
    weight: float = 1.0
    """The inverse of the probability with which it was selected to be judged."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """The slices that it is of, such as {"language": "de"}."""


@dataclass(frozen=True)
class Evidence:
    """What was measured of a candidate beside its champion."""

    pairs: Sequence[Pair]
    """On held-out outcomes, in an order that stays the same; empty for a task that is judged by rewards alone."""
    original: Sequence[tuple[float, float]]
    """Scores of candidate and champion on the task's original test set; empty for a task that has none."""
    unanswered: tuple[int, int]
    """Of how many predictions that were served the candidate makes none, and of how many: by its backtest."""
    off_policy: Estimate | None
    """The paired difference of the values, candidate less champion; None for a task that does not explore."""
    latency_ms: tuple[float, float]
    """Of one prediction, by candidate and champion, measured alike."""
    size_bytes: int
    """Of the candidate's file."""


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate passes, as `ModelEvaluated` says it."""

    passed: bool
    reasons: tuple[str, ...]
    """What kept it back: a sentence for each thing, with its figures."""
    metrics: dict[str, float]
    """What was measured, by name; finite numbers only."""


@dataclass(frozen=True)
class _Finding:
    """What one check measured, and what it refuses."""

    metrics: dict[str, float]
    refused: str | None = None


def judge(evidence: Evidence, bounds: Bounds, seed: int) -> Verdict:
    """Hold all evidence against all bounds. The same evidence and seed give the same verdict.

    Nothing raises: evidence that is missing or is no number is refused, with its reason.
    """
    rng = np.random.default_rng(seed)
    # Where nobody says what would have been right, what choices earned is all that shows an improvement.
    earned_alone = evidence.off_policy is not None and not evidence.pairs
    findings = [
        *([] if earned_alone else _held_out(evidence.pairs, bounds, rng)),
        _original(evidence.original, bounds),
        _history(evidence.unanswered, bounds),
        _off_policy(evidence.off_policy, bounds, bounds.improvement if earned_alone else -bounds.off_policy_tolerance),
        _latency(evidence.latency_ms, bounds),
        _size(evidence.size_bytes, bounds),
    ]
    metrics = {name: value for one in findings for name, value in one.metrics.items() if isfinite(value)}
    reasons = tuple(one.refused for one in findings if one.refused)
    return Verdict(not reasons, reasons, metrics)


def _held_out(pairs: Sequence[Pair], bounds: Bounds, rng: np.random.Generator) -> list[_Finding]:
    counted = {"outcomes": float(len(pairs))}
    wrong = sum(not (isfinite(one.candidate - one.champion) and 1 <= one.weight < inf) for one in pairs)
    if wrong:
        return [
            _Finding(counted, f"{wrong} of {len(pairs)} held-out outcomes lack finite scores or a weight of 1 or more.")
        ]
    if len(pairs) < bounds.outcomes:
        return [_Finding(counted, f"{len(pairs)} held-out outcomes are too few: {bounds.outcomes} are needed.")]
    gains = np.array([one.candidate - one.champion for one in pairs])
    weights = np.array([one.weight for one in pairs])
    mean, (low, high) = weighted_mean(gains, weights, bounds.level, rng)
    scores = {
        "score_candidate": float(np.average([one.candidate for one in pairs], weights=weights)),
        "score_champion": float(np.average([one.champion for one in pairs], weights=weights)),
    }
    improved = {"improvement": mean, "improvement_low": low, "improvement_high": high}
    refused = (
        f"On {len(pairs)} held-out outcomes the score changes by {mean:+.4f}, {_said(low, high, bounds)}:"
        f" the lower end must exceed {bounds.improvement:g}."
    )
    whole = _Finding(counted | scores | improved, None if low > bounds.improvement else refused)
    slices: dict[str, list[int]] = {}
    for at, one in enumerate(pairs):
        for name, value in one.slices.items():
            slices.setdefault(f"{name}={value}", []).append(at)
    large = ((name, at) for name, at in sorted(slices.items()) if len(at) >= bounds.slice_outcomes)
    return [whole, *(_slice(name, gains[at], weights[at], bounds, rng) for name, at in large)]


def _slice(name: str, gains: Floats, weights: Floats, bounds: Bounds, rng: np.random.Generator) -> _Finding:
    mean, (low, high) = weighted_mean(gains, weights, bounds.level, rng)
    refused = (
        f"On the slice {name}, {len(gains)} outcomes, the score changes by {mean:+.4f}, {_said(low, high, bounds)}:"
        f" all of it is below {-bounds.slice_tolerance:g}."
    )
    return _Finding({f"improvement[{name}]": mean}, refused if high < -bounds.slice_tolerance else None)


def _original(scores: Sequence[tuple[float, float]], bounds: Bounds) -> _Finding:
    if not scores:
        return _Finding({})
    candidate, champion = (float(mean) for mean in np.mean(scores, axis=0))
    metrics = {"original_candidate": candidate, "original_champion": champion}
    if 1 - candidate <= (1 - champion) * (1 + bounds.forgetting):
        return _Finding(metrics)
    return _Finding(
        metrics,
        f"On the original test set the score is {candidate:.4f}, the champion's {champion:.4f}:"
        f" the error may grow by {bounds.forgetting:.0%}.",
    )


def _history(unanswered: tuple[int, int], bounds: Bounds) -> _Finding:
    failed, rows = unanswered
    share = failed / rows if rows else 0.0
    refused = f"Of {rows} served predictions it would not have made {failed}: {bounds.unanswered:.1%} are allowed."
    return _Finding({"unanswered": share}, refused if share > bounds.unanswered else None)


def _off_policy(estimate: Estimate | None, bounds: Bounds, least: float) -> _Finding:
    if estimate is None:
        return _Finding({})
    low, high = estimate.interval(bounds.level)
    metrics = {"off_policy": estimate.value, "off_policy_low": low, "off_policy_high": high}
    if low >= least:
        return _Finding(metrics)
    return _Finding(
        metrics,
        f"By the log the value changes by {estimate.value:+.4f}, {_said(low, high, bounds)}:"
        f" the lower end must not be below {least:g}.",
    )


def _latency(latency_ms: tuple[float, float], bounds: Bounds) -> _Finding:
    candidate, champion = latency_ms
    metrics = {"latency_ms_candidate": candidate, "latency_ms_champion": champion}
    if candidate <= min(champion * bounds.latency_ratio, bounds.latency_ms):
        return _Finding(metrics)
    return _Finding(
        metrics,
        f"A prediction takes {candidate:.2f} ms, the champion's {champion:.2f} ms: at most {bounds.latency_ratio:g}"
        f" times that, and {bounds.latency_ms:g} ms, are allowed.",
    )


def _size(size_bytes: int, bounds: Bounds) -> _Finding:
    refused = f"The model has {size_bytes:,} bytes: at most {bounds.size_bytes:,} are allowed."
    return _Finding({"size_bytes": float(size_bytes)}, refused if size_bytes > bounds.size_bytes else None)


def _said(low: float, high: float, bounds: Bounds) -> str:
    return f"at {bounds.level:.0%} between {low:+.4f} and {high:+.4f}"
