"""What each trigger sees, its bound, and what it misses. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from croniter import croniter

from app.monitoring.drift import DriftFinding
from app.monitoring.quality import QualityEstimate
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


@dataclass(frozen=True)
class TriggerExplanation:
    """A trigger in sentences, and its figures as plain JSON."""

    trigger: TriggerName
    sees: str
    bound: str
    """When it is due."""
    missing: tuple[str, ...]
    """Why it doesn't fire."""
    evidence: dict[str, Any]

    @property
    def fires(self) -> bool:
        """Whether it would start a run now."""
        return not self.missing


def evaluate_conditions(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> Iterator[TriggerExplanation]:
    """Each trigger, the strongest reason first: harm to users, then signs of it, then new data, then habit.

    Of what forbids any run nothing is said here.
    """
    yield _quality_condition(state.quality, seen.quality, seen.reference, triggers)
    yield _alert_condition(state.last_triggered, seen, triggers)
    yield _drift_condition(state.drift, seen.drift, triggers)
    yield _latency_condition(state.latency, seen.latency, triggers)
    yield _volume_condition(seen.labelled, triggers)
    yield _schedule_condition(state.schedule_start, now, triggers)


def format_time(seconds: float) -> str:
    """A time as people read it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _quality_condition(
    watch: TriggerState, window: WindowValue[QualityEstimate] | None, reference: float | None, triggers: TriggerSettings
) -> TriggerExplanation:
    bound, alpha = triggers.quality_min_score, triggers.quality_alpha
    bounds = [] if bound is None else [f"a score below {bound:.3f}"]
    if alpha is not None:
        least = "the champion's reference" if reference is None else f"{reference - triggers.quality_tolerance:.3f}"
        bounds.append(f"a score significantly below {least} (chance: {alpha:g})")
    if not bounds:
        return _switched_off("quality")
    sees = "No window is complete."
    verdict = None
    if window is not None:
        found = window.value
        verdict = window_verdicts.judge_quality(found, reference, triggers)
        sees = f"The window to {window.end:%Y-%m-%d %H:%M} has no label of known probability."
        if found.score is not None:
            low, high = found.interval()
            sees = (
                f"The window to {window.end:%Y-%m-%d %H:%M} scores {found.score:.3f} ({low:.3f} to {high:.3f}):"
                f" {found.labelled} labels, {found.coverage:.1%} of {found.predictions} predictions."
            )
    return TriggerExplanation(
        "quality", sees, _join_bounds(bounds), _missing_reasons(watch, 1, verdict), _window_evidence(watch)
    )


def _alert_condition(began: float | None, seen: Observation, triggers: TriggerSettings) -> TriggerExplanation:
    """An alert that was there when the last run began is answered by that run."""
    if triggers.alerts is None:
        return _switched_off("alert")
    heard = [one for one in seen.alerts if one.name in triggers.alerts]
    new = [one for one in heard if began is None or one.started.timestamp() > began]
    sees = f"Firing: {', '.join(sorted(one.name for one in heard))}." if heard else "None of its alerts fires."
    missing = "What fires was there when the last run began." if heard else "An alert would have to fire."
    evidence = {"alerts": [{"name": one.name, "started": one.started.isoformat()} for one in new]}
    return TriggerExplanation(
        "alert", sees, f"An alert named {' or '.join(triggers.alerts)}.", () if new else (missing,), evidence
    )


def _drift_condition(
    watch: TriggerState, window: WindowValue[Sequence[DriftFinding]] | None, triggers: TriggerSettings
) -> TriggerExplanation:
    if triggers.drift_windows is None:
        return _switched_off("drift")
    sees = "No window is complete."
    if window is not None:
        figures = [
            f"{one.feature} {one.statistic:.3f} (at most {one.threshold:.3f}, by {one.detector})"
            for one in window.value
        ]
        sees = f"The window to {window.end:%Y-%m-%d %H:%M}: {', '.join(figures) or 'nothing to compare'}."
    bound = f"A statistic above its threshold, in {_format_windows(triggers.drift_windows)}."
    verdict = None if window is None else window_verdicts.judge_drift(window.value)
    return TriggerExplanation(
        "drift", sees, bound, _missing_reasons(watch, triggers.drift_windows, verdict), _window_evidence(watch)
    )


def _latency_condition(
    watch: TriggerState, window: WindowValue[LatencyStats] | None, triggers: TriggerSettings
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
        "latency", sees, bound, _missing_reasons(watch, triggers.latency_windows, verdict), _window_evidence(watch)
    )


def _volume_condition(labelled: int, triggers: TriggerSettings) -> TriggerExplanation:
    if triggers.min_new_labels is None:
        return _switched_off("volume")
    short = triggers.min_new_labels - labelled
    return TriggerExplanation(
        "volume",
        f"{labelled} labelled events since the last dataset.",
        f"{triggers.min_new_labels} labelled events.",
        (f"{short} labelled events are missing.",) if short > 0 else (),
        {"labelled": labelled, "bound": triggers.min_new_labels},
    )


def _schedule_condition(since: float | None, now: datetime, triggers: TriggerSettings) -> TriggerExplanation:
    if triggers.schedule is None:
        return _switched_off("schedule")
    due = croniter(triggers.schedule, now.timestamp() if since is None else since).get_next(float)
    waits = due > now.timestamp()
    return TriggerExplanation(
        "schedule",
        f"It is {format_time(now.timestamp())}.",
        f"{triggers.schedule!r}, in UTC: {format_time(due)}.",
        (f"It is not {format_time(due)} yet.",) if waits else (),
        {"schedule": triggers.schedule, "due": format_time(due)},
    )


def _missing_reasons(watch: TriggerState, windows: int, verdict: WindowVerdict | None) -> tuple[str, ...]:
    """Why a trigger that watches windows isn't due."""
    if watch.evidence is not None and not watch.armed:
        return ("It has fired: it arms again with the first window that is well.",)
    if watch.breaches:
        short = windows - watch.breaches
        return (f"It would have to be so in {_format_windows(short)} more.",) if short > 0 else ()
    if verdict is None:
        return ("A window is needed.",)
    return verdict.insufficient_data or ("The window is within the bound.",)


def _window_evidence(watch: TriggerState) -> dict[str, Any]:
    return {} if watch.evidence is None else watch.evidence | {"windows": watch.breaches}


def _format_windows(count: int) -> str:
    return "1 window" if count == 1 else f"{count} windows in a row"


def _join_bounds(parts: Sequence[str]) -> str:
    words = ", or ".join(parts)
    return f"{words[0].upper()}{words[1:]}."


def _switched_off(trigger: TriggerName) -> TriggerExplanation:
    return TriggerExplanation(trigger, "It isn't looked at.", "It is switched off.", ("It is switched off.",), {})
