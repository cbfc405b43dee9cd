"""What the triggers make of a window: bad, well, or in between. Pure.

Who looks often enough sees whatever chance can do: a 95 % interval that is looked at every hour is wrong once a day,
and one that slides along every minute far more often. So windows are disjoint: each event is judged once, however often
anyone looks, and the false alarms to expect are alpha times the windows that there were (`quality_alpha`, and that of
the detectors). Windows may be of any length, even until they have labels enough, as long as when they end does not
depend on the scores.
"""

from collections.abc import Sequence
from dataclasses import asdict

from app.monitoring.drift import DriftFinding
from app.monitoring.quality import QualityEstimate
from app.retraining.triggers.observation import LatencyStats, WindowVerdict
from app.settings.triggers import TriggerSettings

MIN_ANSWERS = 100
"""Of a window whose 99th percentile means anything."""


def judge_quality(found: QualityEstimate, reference: float | None, triggers: TriggerSettings) -> WindowVerdict:
    """Bad is a score below the bound, or significantly below the champion's reference less the tolerance.

    Well is one that is above both.
    """
    lacks = _insufficient_data(found, triggers)
    if lacks or found.score is None:
        return WindowVerdict(insufficient_data=lacks)
    alpha, bound = triggers.quality_alpha, triggers.quality_min_score
    least = None if alpha is None or reference is None else reference - triggers.quality_tolerance
    if bound is None and least is None:
        return WindowVerdict(insufficient_data=("There is no bound, and the champion has no reference.",))
    chance = None if least is None else found.p_value(least)
    fell = alpha is not None and chance is not None and chance <= alpha
    if fell or (bound is not None and found.score < bound):
        return WindowVerdict(
            breach={
                "score": found.score,
                "interval": list(found.interval()),
                "chance": chance,
                "reference": reference,
                "bound": bound,
                "labelled": found.labelled,
                "effective": found.effective_size,
                "coverage": found.coverage,
                "answered": found.answered,
            }
        )
    return WindowVerdict(healthy=all(found.score >= one for one in (bound, least) if one is not None))


def judge_drift(findings: Sequence[DriftFinding]) -> WindowVerdict:
    """Bad is a window in which any feature drifted."""
    if not findings:
        return WindowVerdict(insufficient_data=("The detector found too few events to compare.",))
    drifted = [asdict(one) for one in findings if one.drifted]
    return WindowVerdict(breach={"findings": drifted} if drifted else None, healthy=not drifted)


def judge_latency(found: LatencyStats, triggers: TriggerSettings) -> WindowVerdict:
    """Bad is a 99th percentile above the bound."""
    bound = triggers.latency_max_p99_ms
    if bound is None:
        return WindowVerdict(insufficient_data=("There is no bound.",))
    if found.events < MIN_ANSWERS:
        return WindowVerdict(insufficient_data=(f"The window has {found.events} answers; {MIN_ANSWERS} are needed.",))
    if found.p99_ms > bound:
        return WindowVerdict(breach={"p99_ms": found.p99_ms, "bound_ms": bound, "events": found.events})
    return WindowVerdict(healthy=True)


def _insufficient_data(found: QualityEstimate, triggers: TriggerSettings) -> tuple[str, ...]:
    """Why a window can't be judged."""
    least, answered = triggers.quality_min_labelled, triggers.quality_min_answered_share
    lacks = []
    if found.effective_size < least - 1e-6:  # which rounding may cost it
        lacks.append(f"The window's labels are worth {found.effective_size:.0f} of equal weight; {least} are needed.")
    if found.answered < answered:
        lacks.append(f"{found.answered:.0%} of the audit is answered; {answered:.0%} is needed.")
    return tuple(lacks)
