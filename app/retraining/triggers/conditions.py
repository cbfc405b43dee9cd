"""The condition of each trigger: its current value, its bound, and what is missing. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from croniter import croniter

from app.monitoring.drift import DriftFinding
from app.retraining.triggers import window_verdicts
from app.retraining.triggers.observation import (
    LatencyStats,
    Observation,
    TaskTriggerState,
    TriggerState,
    WindowValue,
    WindowVerdict,
)
from app.settings.triggers import TriggerSettings

TriggerName = Literal["quality", "alert", "drift", "latency", "volume", "schedule"]

_LABELS_FIRST = "Labels show whether the score falls: review the task's audit, and raise `audit_rate` if it is small."


@dataclass(frozen=True)
class TriggerExplanation:
    """A trigger's condition in sentences, and its figures as plain JSON."""

    trigger: TriggerName
    sees: str
    bound: str
    """The condition under which it fires."""
    missing: tuple[str, ...]
    """The reasons why it does not fire."""
    evidence: dict[str, Any]

    @property
    def fires(self) -> bool:
        """Whether it would start a run now."""
        return not self.missing


def evaluate_conditions(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> Iterator[TriggerExplanation]:
    """Yield each trigger, the strongest first: harm to users, signs of harm, new data, schedule.

    Reasons that block every run are not considered.
    """
    yield _quality_condition(state.quality, seen, triggers)
    yield _alert_condition(state.last_triggered, seen, triggers)
    yield _drift_condition(state.drift, seen.drift, triggers)
    yield _latency_condition(state.latency, seen.latency, triggers)
    yield _volume_condition(seen.labelled, triggers)
    yield _schedule_condition(state.schedule_start, now, triggers)


def format_time(seconds: float) -> str:
    """Format a time for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _quality_condition(state: TriggerState, seen: Observation, triggers: TriggerSettings) -> TriggerExplanation:
    window, reference = seen.quality, seen.reference
    bound, alpha = triggers.quality_min_score, triggers.quality_alpha
    bounds = [] if bound is None else [f"a score below {bound:.3f}"]
    if alpha is not None:
        tolerated = window_verdicts.tolerated_score(reference, triggers)
        minimum = "the champion's reference" if tolerated is None else f"{tolerated:.3f}"
        bounds.append(f"a score significantly below {minimum} (chance: {alpha:g})")
    if not bounds:
        return _switched_off("quality")
    sees = "No window is complete."
    verdict = None
    if window is not None:
        quality = window.value
        verdict = window_verdicts.judge_quality(quality, seen.quality_history, reference, triggers)
        sees = f"The window to {window.end:%Y-%m-%d %H:%M} has no label of known probability."
        if quality.score is not None:
            low, high = quality.interval()
            sees = (
                f"The window to {window.end:%Y-%m-%d %H:%M} scores {quality.score:.3f} ({low:.3f} to {high:.3f}):"
                f" {quality.labelled} labels, {quality.coverage:.1%} of {quality.predictions} predictions."
            )
            chance = window_verdicts.fall_chance(quality, seen.quality_history, reference, triggers)
            if chance is not None:
                sees += f" With {len(seen.quality_history)} windows before it, the chance is {chance:.2g}."
    missing = _missing_reasons(state, 1, verdict) or _missing_labels(seen, triggers)
    return TriggerExplanation("quality", sees, _join_bounds(bounds), missing, _window_evidence(state))


def _missing_labels(seen: Observation, triggers: TriggerSettings) -> tuple[str, ...]:
    """Return why another run would hardly differ from the last one: by its new labels only.

    Each run that did not mend the fall doubles the labels that the next one takes (exponential back-off). In n times
    `quality_min_labelled` labels, a loss that no training mends starts at most 1 + log2(1 + n) runs; one that so many
    labels can mend waits for fewer than 2 n + 1 times.
    """
    needed = triggers.quality_min_labelled * 2 ** (seen.fall_runs - 1) if seen.fall_runs else 0
    if seen.labelled >= needed:
        return ()
    return (
        f"The next run takes {needed:,} labels since the last dataset, {needed - seen.labelled:,} more:"
        " twice as many after each run that did not mend the fall.",
    )


def _alert_condition(last_triggered: float | None, seen: Observation, triggers: TriggerSettings) -> TriggerExplanation:
    """An alert that was firing at the start of the last run does not fire again."""
    if triggers.alerts is None:
        return _switched_off("alert")
    firing = [alert for alert in seen.alerts if alert.name in triggers.alerts]
    new = [alert for alert in firing if last_triggered is None or alert.started.timestamp() > last_triggered]
    sees = f"Firing: {', '.join(sorted(alert.name for alert in firing))}." if firing else "None of its alerts fires."
    missing = "What fires was there when the last run began." if firing else "An alert would have to fire."
    evidence = {"alerts": [{"name": alert.name, "started": alert.started.isoformat()} for alert in new]}
    return TriggerExplanation(
        "alert", sees, f"An alert named {' or '.join(triggers.alerts)}.", () if new else (missing,), evidence
    )


def _drift_condition(
    state: TriggerState, window: WindowValue[Sequence[DriftFinding]] | None, triggers: TriggerSettings
) -> TriggerExplanation:
    if triggers.drift_windows is None:
        return _switched_off("drift")
    sees = "No window is complete."
    if window is not None:
        figures = [
            f"{finding.feature} {finding.statistic:.3f} (at most {finding.threshold:.3f}, by {finding.detector})"
            for finding in window.value
        ]
        sees = f"The window to {window.end:%Y-%m-%d %H:%M}: {', '.join(figures) or 'nothing to compare'}."
    bound = f"A statistic above its threshold, in {_format_windows(triggers.drift_windows)}."
    verdict = None if window is None else window_verdicts.judge_drift(window.value)
    missing = _missing_reasons(state, triggers.drift_windows, verdict)
    advice = (_LABELS_FIRST,) if missing and state.breaches else ()
    return TriggerExplanation("drift", sees, bound, missing + advice, _window_evidence(state))


def _latency_condition(
    state: TriggerState, window: WindowValue[LatencyStats] | None, triggers: TriggerSettings
) -> TriggerExplanation:
    if triggers.latency_max_p99_ms is None:
        return _switched_off("latency")
    sees = "No window is complete."
    if window is not None:
        p99, events = window.value.p99_ms, window.value.events
        sees = f"The window to {window.end:%Y-%m-%d %H:%M} has a p99 of {p99:.1f} ms, of {events} answers."
    bound = f"A p99 above {triggers.latency_max_p99_ms:.1f} ms, in {_format_windows(triggers.latency_windows)}."
    verdict = None if window is None else window_verdicts.judge_latency(window.value, triggers)
    return TriggerExplanation(
        "latency", sees, bound, _missing_reasons(state, triggers.latency_windows, verdict), _window_evidence(state)
    )


def _volume_condition(labelled: int, triggers: TriggerSettings) -> TriggerExplanation:
    if triggers.min_new_labels is None:
        return _switched_off("volume")
    missing = triggers.min_new_labels - labelled
    return TriggerExplanation(
        "volume",
        f"{labelled} labelled events since the last dataset.",
        f"{triggers.min_new_labels} labelled events.",
        (f"{missing} labelled events are missing.",) if missing > 0 else (),
        {"labelled": labelled, "bound": triggers.min_new_labels},
    )


def _schedule_condition(start: float | None, now: datetime, triggers: TriggerSettings) -> TriggerExplanation:
    if triggers.schedule is None:
        return _switched_off("schedule")
    due = croniter(triggers.schedule, now.timestamp() if start is None else start).get_next(float)
    is_early = due > now.timestamp()
    return TriggerExplanation(
        "schedule",
        f"It is {format_time(now.timestamp())}.",
        f"{triggers.schedule!r}, in UTC: {format_time(due)}.",
        (f"It is not {format_time(due)} yet.",) if is_early else (),
        {"schedule": triggers.schedule, "due": format_time(due)},
    )


def _missing_reasons(state: TriggerState, windows: int, verdict: WindowVerdict | None) -> tuple[str, ...]:
    """Return why a trigger with windows does not fire."""
    if state.evidence is not None and not state.armed:
        return ("It has fired: it arms again with the first window that is well.",)
    if state.breaches:
        missing = windows - state.breaches
        return (f"It would have to be so in {_format_windows(missing)} more.",) if missing > 0 else ()
    if verdict is None:
        return ("A window is needed.",)
    if verdict.breach is not None:
        return ("A run has answered this window: one that begins after the run is needed.",)
    return verdict.insufficient_data or ("The window is within the bound.",)


def _window_evidence(state: TriggerState) -> dict[str, Any]:
    return {} if state.evidence is None else state.evidence | {"windows": state.breaches}


def _format_windows(count: int) -> str:
    return "1 window" if count == 1 else f"{count} windows in a row"


def _join_bounds(parts: Sequence[str]) -> str:
    text = ", or ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _switched_off(trigger: TriggerName) -> TriggerExplanation:
    return TriggerExplanation(trigger, "It isn't looked at.", "It is switched off.", ("It is switched off.",), {})
