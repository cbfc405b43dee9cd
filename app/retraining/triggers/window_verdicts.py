"""What the triggers make of a window: bad, well, or in between. Pure.

Who looks often enough sees whatever chance can do: a 95 % interval that is looked at every hour is wrong once a day,
and one that slides along every minute far more often. So windows are disjoint: each event is judged once, however often
anyone looks, and the false alarms to expect are alpha times the windows that there were (`quality_alpha`, and that of
the detectors). Windows may be of any length, even until they have labels enough, as long as when they end does not
depend on the scores.
"""

from collections.abc import Sequence
from dataclasses import asdict

from app.monitoring.drift import Finding
from app.monitoring.quality import Quality
from app.retraining.triggers.observation import Latency, Verdict
from app.settings.triggers import Triggers

FEWEST_ANSWERS = 100
"""Of a window whose 99th percentile means anything."""


def quality(found: Quality, reference: float | None, triggers: Triggers) -> Verdict:
    """Bad is a score below the bound, or significantly below the champion's reference less the tolerance.

    Well is one that is above both.
    """
    lacks = _lacks(found, triggers)
    if lacks or found.score is None:
        return Verdict(lacks=lacks)
    alpha, bound = triggers.quality_alpha, triggers.quality_bound
    least = None if alpha is None or reference is None else reference - triggers.quality_tolerance
    if bound is None and least is None:
        return Verdict(lacks=("There is no bound, and the champion has no reference.",))
    chance = None if least is None else found.chance(least)
    fell = alpha is not None and chance is not None and chance <= alpha
    if fell or (bound is not None and found.score < bound):
        return Verdict(
            bad={
                "score": found.score,
                "interval": list(found.interval()),
                "chance": chance,
                "reference": reference,
                "bound": bound,
                "labelled": found.labelled,
                "effective": found.effective,
                "coverage": found.coverage,
                "answered": found.answered,
            }
        )
    return Verdict(well=all(found.score >= one for one in (bound, least) if one is not None))


def drift(findings: Sequence[Finding]) -> Verdict:
    """Bad is a window in which any feature drifted."""
    if not findings:
        return Verdict(lacks=("The detector found too few events to compare.",))
    drifted = [asdict(one) for one in findings if one.drifted]
    return Verdict(bad={"findings": drifted} if drifted else None, well=not drifted)


def latency(found: Latency, triggers: Triggers) -> Verdict:
    """Bad is a 99th percentile above the bound."""
    bound = triggers.latency_p99_ms
    if bound is None:
        return Verdict(lacks=("There is no bound.",))
    if found.events < FEWEST_ANSWERS:
        return Verdict(lacks=(f"The window has {found.events} answers; {FEWEST_ANSWERS} are needed.",))
    if found.p99_ms > bound:
        return Verdict(bad={"p99_ms": found.p99_ms, "bound_ms": bound, "events": found.events})
    return Verdict(well=True)


def _lacks(found: Quality, triggers: Triggers) -> tuple[str, ...]:
    """Why a window can't be judged."""
    least, answered = triggers.quality_least_labelled, triggers.quality_least_answered
    lacks = []
    if found.effective < least - 1e-6:  # which rounding may cost it
        lacks.append(f"The window's labels are worth {found.effective:.0f} of equal weight; {least} are needed.")
    if found.answered < answered:
        lacks.append(f"{found.answered:.0%} of the audit is answered; {answered:.0%} is needed.")
    return tuple(lacks)
