"""The verdict of a trigger on a window: breach, healthy, or in between. Pure.

Frequent looks find chance events: a 95 % interval that is looked at every hour is wrong once a day, and a sliding one
that is looked at every minute far more often. So windows are disjoint: each event is judged once, however often
anyone looks, and the expected number of false alarms is alpha times the number of windows (`quality_alpha`, and that of
the detectors). The evidence for a fall of quality is carried over windows, see `app.monitoring.quality_detector`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from math import ceil, exp

from app.monitoring.drift import DriftFinding
from app.monitoring.quality import QualityEstimate
from app.monitoring.quality_detector import QualityReference, log_evidence
from app.retraining.triggers.observation import LatencyStats, WindowVerdict
from app.settings.triggers import TriggerSettings

MIN_ANSWERS = 100
"""Minimum number of answers for a meaningful 99th percentile."""


def judge_quality(
    quality: QualityEstimate,
    history: Sequence[QualityEstimate],
    reference: QualityReference | None,
    triggers: TriggerSettings,
) -> WindowVerdict:
    """Return a breach if the score is below the bound, or with those of earlier windows significantly below tolerance.

    The window is healthy if the score is above both.
    """
    reasons = _insufficient_data(quality, triggers)
    if reasons or quality.score is None:
        return WindowVerdict(insufficient_data=reasons)
    bound, tolerated = triggers.quality_min_score, tolerated_score(reference, triggers)
    if bound is None and tolerated is None:
        return WindowVerdict(insufficient_data=("There is no bound, and the champion has no reference.",))
    chance = fall_chance(quality, history, reference, triggers)
    fell = triggers.quality_alpha is not None and chance is not None and chance <= triggers.quality_alpha
    if fell or (bound is not None and quality.score < bound):
        return WindowVerdict(
            breach={
                "score": quality.score,
                "interval": list(quality.interval()),
                "chance": chance,
                "reference": None if reference is None else reference.score,
                "bound": bound,
                "labelled": quality.labelled,
                "effective": quality.effective_size,
                "coverage": quality.coverage,
                "answered": quality.answered,
            }
        )
    return WindowVerdict(healthy=all(quality.score >= limit for limit in (bound, tolerated) if limit is not None))


def tolerated_score(reference: QualityReference | None, triggers: TriggerSettings) -> float | None:
    """Return the least mean score that is no fall; None without a reference."""
    if triggers.quality_alpha is None or reference is None:
        return None
    return reference.tolerated(triggers.quality_tolerance)


def fall_chance(
    quality: QualityEstimate,
    history: Sequence[QualityEstimate],
    reference: QualityReference | None,
    triggers: TriggerSettings,
) -> float | None:
    """Return the chance of so much evidence for a fall in one window; None without a reference.

    `quality_alpha` or less is a fall. Chance alone shows as much in 1 / chance windows on average.
    """
    tolerated = tolerated_score(reference, triggers)
    if tolerated is None or triggers.quality_alpha is None:
        return None
    return exp(min(0.0, -log_evidence([*history, quality], tolerated, triggers.quality_alpha)))


def judge_drift(findings: Sequence[DriftFinding]) -> WindowVerdict:
    """Return a breach if any feature drifted."""
    if not findings:
        return WindowVerdict(insufficient_data=("The detector found too few events to compare.",))
    drifted = [asdict(finding) for finding in findings if finding.drifted]
    return WindowVerdict(breach={"findings": drifted} if drifted else None, healthy=not drifted)


def judge_latency(latency: LatencyStats, triggers: TriggerSettings) -> WindowVerdict:
    """Return a breach if the 99th percentile is above the bound."""
    bound = triggers.latency_max_p99_ms
    if bound is None:
        return WindowVerdict(insufficient_data=("There is no bound.",))
    if latency.events < MIN_ANSWERS:
        return WindowVerdict(insufficient_data=(f"The window has {latency.events} answers; {MIN_ANSWERS} are needed.",))
    if latency.p99_ms > bound:
        return WindowVerdict(breach={"p99_ms": latency.p99_ms, "bound_ms": bound, "events": latency.events})
    return WindowVerdict(healthy=True)


def _insufficient_data(quality: QualityEstimate, triggers: TriggerSettings) -> tuple[str, ...]:
    """Return the reasons why a window can't be judged."""
    min_labelled, min_answered = triggers.quality_min_labelled, triggers.quality_min_answered_share
    reasons = []
    if quality.effective_size < min_labelled - 1e-6:  # tolerate rounding
        size = f"{quality.effective_size:.0f}"
        reasons.append(f"The window's labels are worth {size} of equal weight; {min_labelled} are needed.")
    if quality.answered < min_answered:
        missing = ceil((min_answered - quality.answered) * quality.selected - 1e-9)
        reasons.append(
            f"{quality.answered:.0%} of the audit is answered; {min_answered:.0%} is needed: {missing:,} more reviews."
        )
    return tuple(reasons)
