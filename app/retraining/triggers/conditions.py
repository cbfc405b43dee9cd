"""What each trigger sees, its bound, and what it misses. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from croniter import croniter

from app.monitoring.drift import Finding
from app.monitoring.quality import Quality
from app.retraining.triggers import window_verdicts
from app.retraining.triggers.observation import Latency, Seen, State, Verdict, Watch, Window
from app.settings.triggers import Triggers

Name = Literal["quality", "alert", "drift", "latency", "volume", "schedule"]


@dataclass(frozen=True)
class Explained:
    """A trigger in sentences, and its figures as plain JSON."""

    trigger: Name
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


def conditions(state: State, seen: Seen, now: datetime, triggers: Triggers) -> Iterator[Explained]:
    """Each trigger, the strongest reason first: harm to users, then signs of it, then new data, then habit.

    Of what forbids any run nothing is said here.
    """
    yield _quality(state.quality, seen.quality, seen.reference, triggers)
    yield _alert(state.began, seen, triggers)
    yield _drift(state.drift, seen.drift, triggers)
    yield _latency(state.latency, seen.latency, triggers)
    yield _volume(seen.labelled, triggers)
    yield _schedule(state.scheduled, now, triggers)


def readable(seconds: float) -> str:
    """A time as people read it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _quality(watch: Watch, window: Window[Quality] | None, reference: float | None, triggers: Triggers) -> Explained:
    bound, alpha = triggers.quality_bound, triggers.quality_alpha
    bounds = [] if bound is None else [f"a score below {bound:.3f}"]
    if alpha is not None:
        least = "the champion's reference" if reference is None else f"{reference - triggers.quality_tolerance:.3f}"
        bounds.append(f"a score significantly below {least} (chance: {alpha:g})")
    if not bounds:
        return _off("quality")
    sees = "No window is complete."
    verdict = None
    if window is not None:
        found = window.found
        verdict = window_verdicts.quality(found, reference, triggers)
        sees = f"The window to {window.end:%Y-%m-%d %H:%M} has no label of known probability."
        if found.score is not None:
            low, high = found.interval()
            sees = (
                f"The window to {window.end:%Y-%m-%d %H:%M} scores {found.score:.3f} ({low:.3f} to {high:.3f}):"
                f" {found.labelled} labels, {found.coverage:.1%} of {found.predictions} predictions."
            )
    return Explained("quality", sees, _sentence(bounds), _missing(watch, 1, verdict), _evidence(watch))


def _alert(began: float | None, seen: Seen, triggers: Triggers) -> Explained:
    """An alert that was there when the last run began is answered by that run."""
    if triggers.alerts is None:
        return _off("alert")
    heard = [one for one in seen.alerts if one.name in triggers.alerts]
    new = [one for one in heard if began is None or one.started.timestamp() > began]
    sees = f"Firing: {', '.join(sorted(one.name for one in heard))}." if heard else "None of its alerts fires."
    missing = "What fires was there when the last run began." if heard else "An alert would have to fire."
    evidence = {"alerts": [{"name": one.name, "started": one.started.isoformat()} for one in new]}
    return Explained(
        "alert", sees, f"An alert named {' or '.join(triggers.alerts)}.", () if new else (missing,), evidence
    )


def _drift(watch: Watch, window: Window[Sequence[Finding]] | None, triggers: Triggers) -> Explained:
    if triggers.drift is None:
        return _off("drift")
    sees = "No window is complete."
    if window is not None:
        figures = [
            f"{one.feature} {one.statistic:.3f} (at most {one.threshold:.3f}, by {one.detector})"
            for one in window.found
        ]
        sees = f"The window to {window.end:%Y-%m-%d %H:%M}: {', '.join(figures) or 'nothing to compare'}."
    bound = f"A statistic above its threshold, in {_windows(triggers.drift)}."
    verdict = None if window is None else window_verdicts.drift(window.found)
    return Explained("drift", sees, bound, _missing(watch, triggers.drift, verdict), _evidence(watch))


def _latency(watch: Watch, window: Window[Latency] | None, triggers: Triggers) -> Explained:
    if triggers.latency_p99_ms is None:
        return _off("latency")
    sees = "No window is complete."
    if window is not None:
        p99, events = window.found.p99_ms, window.found.events
        sees = f"The window to {window.end:%Y-%m-%d %H:%M} has a p99 of {p99:.1f} ms, of {events} answers."
    bound = f"A p99 above {triggers.latency_p99_ms:.1f} ms, in {_windows(triggers.latency_windows)}."
    verdict = None if window is None else window_verdicts.latency(window.found, triggers)
    return Explained("latency", sees, bound, _missing(watch, triggers.latency_windows, verdict), _evidence(watch))


def _volume(labelled: int, triggers: Triggers) -> Explained:
    if triggers.volume is None:
        return _off("volume")
    short = triggers.volume - labelled
    return Explained(
        "volume",
        f"{labelled} labelled events since the last dataset.",
        f"{triggers.volume} labelled events.",
        (f"{short} labelled events are missing.",) if short > 0 else (),
        {"labelled": labelled, "bound": triggers.volume},
    )


def _schedule(since: float | None, now: datetime, triggers: Triggers) -> Explained:
    if triggers.schedule is None:
        return _off("schedule")
    due = croniter(triggers.schedule, now.timestamp() if since is None else since).get_next(float)
    waits = due > now.timestamp()
    return Explained(
        "schedule",
        f"It is {readable(now.timestamp())}.",
        f"{triggers.schedule!r}, in UTC: {readable(due)}.",
        (f"It is not {readable(due)} yet.",) if waits else (),
        {"schedule": triggers.schedule, "due": readable(due)},
    )


def _missing(watch: Watch, windows: int, verdict: Verdict | None) -> tuple[str, ...]:
    """Why a trigger that watches windows isn't due."""
    if watch.evidence is not None and not watch.armed:
        return ("It has fired: it arms again with the first window that is well.",)
    if watch.bad:
        short = windows - watch.bad
        return (f"It would have to be so in {_windows(short)} more.",) if short > 0 else ()
    if verdict is None:
        return ("A window is needed.",)
    return verdict.lacks or ("The window is within the bound.",)


def _evidence(watch: Watch) -> dict[str, Any]:
    return {} if watch.evidence is None else watch.evidence | {"windows": watch.bad}


def _windows(count: int) -> str:
    return "1 window" if count == 1 else f"{count} windows in a row"


def _sentence(parts: Sequence[str]) -> str:
    words = ", or ".join(parts)
    return f"{words[0].upper()}{words[1:]}."


def _off(trigger: Name) -> Explained:
    return Explained(trigger, "It isn't looked at.", "It is switched off.", ("It is switched off.",), {})
