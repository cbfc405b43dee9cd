"""The gate: decide by offline evidence whether a candidate may become shadow and canary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

import numpy as np

from app.retraining.pipeline.gate_rewards import RewardEvidence, check_rewards
from app.settings.gate import GateSettings
from app.statistics.bootstrap import weighted_mean
from models.off_policy import Floats


@dataclass(frozen=True)
class PairedScore:
    """The scores of both versions on a held-out outcome."""

    candidate: float
    champion: float
    weight: float = 1.0
    """The inverse selection probability."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """The slices it belongs to, such as {"language": "de"}."""


@dataclass(frozen=True)
class GateEvidence:
    """The measurements of a candidate and its champion."""

    pairs: Sequence[PairedScore]
    """Scores on held-out outcomes, in a fixed order; empty for a task with rewards only."""
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
    # Without enough labels, only the rewards can show an improvement.
    rewards_only = evidence.off_policy is not None and too_few_outcomes(len(evidence.pairs), bounds) is not None
    checks = [
        *([] if rewards_only else _check_held_out(evidence.pairs, bounds, rng)),
        _check_original(evidence.original_scores, bounds),
        _check_unanswered(evidence.unanswered, bounds),
        _CheckResult(*check_rewards(evidence.off_policy, bounds, rewards_only)),
        _check_latency(evidence.latency_ms, bounds),
        _check_size(evidence.size_bytes, bounds),
    ]
    metrics = {name: value for check in checks for name, value in check.metrics.items() if isfinite(value)}
    reasons = tuple(check.reason for check in checks if check.reason)
    return GateVerdict(not reasons, reasons, metrics)


def _check_held_out(pairs: Sequence[PairedScore], bounds: GateSettings, rng: np.random.Generator) -> list[_CheckResult]:
    count = {"outcomes": float(len(pairs))}
    invalid = sum(not (isfinite(pair.candidate - pair.champion) and 1 <= pair.weight < inf) for pair in pairs)
    if invalid:
        return [
            _CheckResult(
                count, f"{invalid} of {len(pairs)} held-out outcomes lack finite scores or a weight of 1 or more."
            )
        ]
    if too_few := too_few_outcomes(len(pairs), bounds):
        return [_CheckResult(count, too_few)]
    gains = np.array([pair.candidate - pair.champion for pair in pairs])
    weights = np.array([pair.weight for pair in pairs])
    mean, (low, high) = weighted_mean(gains, weights, bounds.confidence_level, rng)
    scores = {
        "score_candidate": float(np.average([pair.candidate for pair in pairs], weights=weights)),
        "score_champion": float(np.average([pair.champion for pair in pairs], weights=weights)),
    }
    improvement = {"improvement": mean, "improvement_low": low, "improvement_high": high}
    refused = (
        f"On {len(pairs)} held-out outcomes the score changes by {mean:+.4f}, {_format_interval(low, high, bounds)}:"
        f" the lower end must exceed {bounds.min_improvement:g}."
    )
    overall = _CheckResult(count | scores | improvement, None if low > bounds.min_improvement else refused)
    slices: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        for name, value in pair.slices.items():
            slices.setdefault(f"{name}={value}", []).append(index)
    large = ((name, rows) for name, rows in sorted(slices.items()) if len(rows) >= bounds.min_slice_outcomes)
    return [overall, *(_check_slice(name, gains[rows], weights[rows], bounds, rng) for name, rows in large)]


def too_few_outcomes(count: int, bounds: GateSettings) -> str | None:
    """Return the reason if no candidate can pass with so many held-out outcomes."""
    return (
        f"{count} held-out outcomes are too few: {bounds.min_outcomes} are needed."
        if count < bounds.min_outcomes
        else None
    )


def _check_slice(
    name: str, gains: Floats, weights: Floats, bounds: GateSettings, rng: np.random.Generator
) -> _CheckResult:
    mean, (low, high) = weighted_mean(gains, weights, bounds.confidence_level, rng)
    refused = (
        f"On the slice {name}, {len(gains)} outcomes, the score changes by {mean:+.4f}, "
        f"{_format_interval(low, high, bounds)}: all of it is below {-bounds.slice_tolerance:g}."
    )
    return _CheckResult({f"improvement[{name}]": mean}, refused if high < -bounds.slice_tolerance else None)


def _check_original(scores: Sequence[tuple[float, float]], bounds: GateSettings) -> _CheckResult:
    if not scores:
        return _CheckResult({})
    candidate, champion = (float(mean) for mean in np.mean(scores, axis=0))
    metrics = {"original_candidate": candidate, "original_champion": champion}
    if 1 - candidate <= (1 - champion) * (1 + bounds.max_error_increase_ratio):
        return _CheckResult(metrics)
    return _CheckResult(
        metrics,
        f"On the original test set the score is {candidate:.4f}, the champion's {champion:.4f}:"
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


def _format_interval(low: float, high: float, bounds: GateSettings) -> str:
    return f"at {bounds.confidence_level:.0%} between {low:+.4f} and {high:+.4f}"
