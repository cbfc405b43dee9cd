"""The gate: decide by offline evidence whether a candidate may become shadow and canary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf, isfinite

import numpy as np

from app.outcomes.audit import NO_AUDIT, AnsweredShare, first_gate
from app.retraining.pipeline.gate_rewards import RewardEvidence, check_rewards
from app.retraining.pipeline.held_out_gain import Gains, shared_level, spent_level
from app.settings.gate import GateSettings
from app.statistics.mean_intervals import clustered_mean

MIN_OUTCOMES_BESIDE_REWARDS = 100
"""Number of held-out outcomes with which labels decide although there are rewards without doubts."""


@dataclass(frozen=True)
class PairedScore:
    """The scores of both versions on a held-out outcome."""

    candidate: float
    champion: float
    weight: float = 1.0
    """The inverse selection probability."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """The slices it belongs to, such as {"language": "de"}."""
    entity: str | None = None
    """Outcomes of one entity may depend on each other; None is an entity of its own."""
    time: datetime | None = None
    """The time of the request."""
    prediction_id: str = ""


@dataclass(frozen=True)
class GateEvidence:
    """The measurements of a candidate and its champion."""

    pairs: Sequence[PairedScore]
    """Scores on held-out outcomes, in the order of time; empty for a task with rewards only."""
    original_scores: Sequence[tuple[float, float]]
    """Scores of candidate and champion on the task's original test set; empty for a task without one."""
    unanswered: tuple[int, int]
    """The number of served predictions that the candidate fails to make in its backtest, and their total."""
    off_policy: RewardEvidence | None
    """What rewards say; None for a task without exploration, or with too few rewards."""
    latency_ms: tuple[float, float]
    """The latency of one prediction by candidate and champion, measured in the same way."""
    size_bytes: int
    """The size of the candidate's file."""
    audit: AnsweredShare = NO_AUDIT
    """The answered share of the held-out part of the audit; `pairs` are from where it is high enough."""
    first_scores: Sequence[float] = ()
    """Scores of version 1 on the task's original test set; empty if the champion is version 1."""
    earlier_evaluations: Sequence[datetime] = ()
    """When candidates of earlier runs were evaluated on the same history."""
    candidates: int = 1
    """The number of candidates of this run, which are all evaluated on it."""


@dataclass(frozen=True)
class GateVerdict:
    """Whether a candidate passes, as in `ModelEvaluated`."""

    passed: bool
    reasons: tuple[str, ...]
    """The reasons against it: a sentence with figures for each failed check."""
    metrics: dict[str, float]
    """The measurements by name; finite numbers only."""


@dataclass(frozen=True)
class _CheckResult:
    """The measurements of a check, and its reason if it fails."""

    metrics: dict[str, float]
    reason: str | None = None


def evaluate_gate(evidence: GateEvidence, bounds: GateSettings, seed: int) -> GateVerdict:
    """Check the evidence against the bounds. The same evidence and seed give the same verdict.

    Raises nothing: a missing or non-finite measurement fails its check, with a reason.
    """
    rng = np.random.default_rng(seed)
    rewards_only = evidence.off_policy is not None and len(evidence.pairs) < _min_outcomes_beside(
        evidence.off_policy, bounds
    )
    checks = [
        *([] if rewards_only else _check_held_out(evidence, bounds, rng)),
        _check_original(evidence.original_scores, evidence.first_scores, bounds),
        _check_unanswered(evidence.unanswered, bounds),
        _CheckResult(
            *check_rewards(evidence.off_policy, bounds, rewards_only, evidence.candidates, evidence.earlier_evaluations)
        ),
        _check_latency(evidence.latency_ms, bounds),
        _check_size(evidence.size_bytes, bounds),
    ]
    metrics = {name: value for check in checks for name, value in check.metrics.items() if isfinite(value)}
    reasons = tuple(check.reason for check in checks if check.reason)
    return GateVerdict(not reasons, reasons, metrics)


def _min_outcomes_beside(rewards: RewardEvidence, bounds: GateSettings) -> int:
    """Return with how many held-out outcomes labels decide; with fewer, only the rewards can show an improvement.

    Few labels show little, and must not block many rewards; but they say more than doubtful rewards.
    """
    return bounds.min_outcomes if rewards.doubts else max(bounds.min_outcomes, MIN_OUTCOMES_BESIDE_REWARDS)


def _check_held_out(evidence: GateEvidence, bounds: GateSettings, rng: np.random.Generator) -> list[_CheckResult]:
    pairs = evidence.pairs
    count = {"outcomes": float(len(pairs)), "audit_answered": evidence.audit.share}
    invalid = sum(not (isfinite(pair.candidate - pair.champion) and 1 <= pair.weight < inf) for pair in pairs)
    if invalid:
        return [
            _CheckResult(
                count, f"{invalid} of {len(pairs)} held-out outcomes lack finite scores or a weight of 1 or more."
            )
        ]
    if too_few := too_few_outcomes(len(pairs), bounds, evidence.audit):
        return [_CheckResult(count, too_few)]
    recent, level = _recent(evidence, bounds)
    mean, (low, high) = _gains(recent).cautious(level, bounds.unseen_loss, rng)
    weights = [pair.weight for pair in pairs]
    scores = {
        "score_candidate": float(np.average([pair.candidate for pair in pairs], weights=weights)),
        "score_champion": float(np.average([pair.champion for pair in pairs], weights=weights)),
    }
    improvement = {"improvement": mean, "improvement_low": low, "improvement_high": high}
    refused = (
        f"On the newest {len(recent)} held-out outcomes the score changes by {mean:+.4f},"
        f" {_format_interval(low, high, level)}: the lower end must exceed {bounds.min_improvement:g}."
    )
    overall = _CheckResult(count | scores | improvement, None if low > bounds.min_improvement else refused)
    history = [_check_history(pairs, level, bounds, rng)] if len(pairs) > len(recent) else []
    slices: dict[str, list[PairedScore]] = {}
    for pair in pairs:
        for name, value in pair.slices.items():
            slices.setdefault(f"{name}={value}", []).append(pair)
    large = ((name, rows) for name, rows in sorted(slices.items()) if len(rows) >= bounds.min_slice_outcomes)
    return [overall, *history, *(_check_slice(name, rows, bounds) for name, rows in large)]


def _recent(evidence: GateEvidence, bounds: GateSettings) -> tuple[Sequence[PairedScore], float]:
    """Return the recent outcomes, and the level of intervals: earlier evaluations count that saw some of these."""
    recent = evidence.pairs[-bounds.recent_outcomes :]
    since = recent[0].time
    earlier = sum(since is None or time > since for time in evidence.earlier_evaluations)
    return recent, spent_level(shared_level(bounds.confidence_level, evidence.candidates), earlier)


def _gains(pairs: Sequence[PairedScore]) -> Gains:
    return Gains(
        np.array([pair.candidate - pair.champion for pair in pairs]),
        np.array([pair.weight for pair in pairs]),
        [index if pair.entity is None else pair.entity for index, pair in enumerate(pairs)],
    )


def too_few_outcomes(count: int, bounds: GateSettings, audit: AnsweredShare = NO_AUDIT) -> str | None:
    """Return the reason if no candidate can pass with so many held-out outcomes, with the number of missing reviews."""
    if count >= bounds.min_outcomes:
        return None
    too_few = f"{count} held-out outcomes are too few: {bounds.min_outcomes} are needed."
    if audit.missing(bounds.min_answered_share):
        too_few += (
            f" Of the held-out part of the audit {audit.answered} of {audit.selected} predictions are answered:"
            f" only where {bounds.min_answered_share:.0%} of them are, they count."
        )
    return f"{too_few} {first_gate(bounds.min_outcomes - count, audit.rate)}"


def _check_history(
    pairs: Sequence[PairedScore], level: float, bounds: GateSettings, rng: np.random.Generator
) -> _CheckResult:
    mean, (low, high) = _gains(pairs).cautious(level, bounds.unseen_loss, rng)
    refused = (
        f"On all {len(pairs)} held-out outcomes the score changes by {mean:+.4f}, {_format_interval(low, high, level)}:"
        f" the lower end must not be below {-bounds.history_tolerance:g}."
    )
    return _CheckResult({"improvement_history": mean}, None if low >= -bounds.history_tolerance else refused)


def _check_slice(name: str, pairs: Sequence[PairedScore], bounds: GateSettings) -> _CheckResult:
    mean, (low, high) = _gains(pairs).clustered(bounds.confidence_level)
    refused = (
        f"On the slice {name}, {len(pairs)} outcomes, the score changes by {mean:+.4f}, "
        f"{_format_interval(low, high, bounds.confidence_level)}: all of it is below {-bounds.slice_tolerance:g}."
    )
    return _CheckResult({f"improvement[{name}]": mean}, refused if high < -bounds.slice_tolerance else None)


def _check_original(
    scores: Sequence[tuple[float, float]], first_scores: Sequence[float], bounds: GateSettings
) -> _CheckResult:
    """Check the error on the original test set against that of version 1.

    The candidate is refused if its error exceeds the bound, and if that is not by chance: if the interval of the excess
    is above 0.
    """
    if not scores:
        return _CheckResult({})
    errors = 1 - np.array(scores)
    first = 1 - np.array(first_scores) if first_scores else errors[:, 1]
    candidate, champion, reference = (1 - float(np.mean(error)) for error in (errors[:, 0], errors[:, 1], first))
    metrics = {"original_candidate": candidate, "original_champion": champion, "original_first": reference}
    excess = errors[:, 0] - (1 + bounds.max_error_increase_ratio) * first
    mean, (low, _) = clustered_mean(excess, np.ones(len(excess)), range(len(excess)), bounds.confidence_level)
    if mean <= 0 or -inf < low <= 0:
        return _CheckResult(metrics)
    return _CheckResult(
        metrics,
        f"On the original test set the score is {candidate:.4f}, that of version 1 {reference:.4f}:"
        f" the error may grow by {bounds.max_error_increase_ratio:.0%}.",
    )


def _check_unanswered(unanswered: tuple[int, int], bounds: GateSettings) -> _CheckResult:
    failed, rows = unanswered
    share = failed / rows if rows else 0.0
    refused = (
        f"Of {rows} served predictions it would not have made {failed}: {bounds.max_unanswered_share:.1%} are allowed."
    )
    return _CheckResult({"unanswered": share}, refused if share > bounds.max_unanswered_share else None)


def _check_latency(latency_ms: tuple[float, float], bounds: GateSettings) -> _CheckResult:
    candidate, champion = latency_ms
    metrics = {"latency_ms_candidate": candidate, "latency_ms_champion": champion}
    if candidate <= min(champion * bounds.max_latency_ratio, bounds.max_latency_ms):
        return _CheckResult(metrics)
    return _CheckResult(
        metrics,
        f"A prediction takes {candidate:.2f} ms, the champion's {champion:.2f} ms: at most {bounds.max_latency_ratio:g}"
        f" times that, and {bounds.max_latency_ms:g} ms, are allowed.",
    )


def _check_size(size_bytes: int, bounds: GateSettings) -> _CheckResult:
    refused = f"The model has {size_bytes:,} bytes: at most {bounds.max_size_bytes:,} are allowed."
    return _CheckResult({"size_bytes": float(size_bytes)}, refused if size_bytes > bounds.max_size_bytes else None)


def _format_interval(low: float, high: float, level: float) -> str:
    return f"at {100 * level:.4g}% between {low:+.4f} and {high:+.4f}"
