"""What starts a retraining, and why. Pure: the time is given, and what is remembered is in the state."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.retraining.triggers import window_verdicts
from app.retraining.triggers.conditions import Explained, Name, conditions, readable
from app.retraining.triggers.observation import Seen, State
from app.settings.triggers import Triggers

__all__ = ["Explained", "Firing", "Seen", "State", "Triggers", "evaluate", "explain"]


@dataclass(frozen=True)
class Firing:
    """A run is to begin, and why: as in `RetrainingTriggered`."""

    trigger: Name
    """The strongest reason."""
    evidence: dict[str, Any]
    """What it saw, as plain JSON; in `also`, by their names, what the others saw that were due as well."""


def evaluate(state: State, seen: Seen, now: datetime, triggers: Triggers) -> tuple[State, list[Firing]]:
    """What is due now: one run or none. It may be called as often as one likes: no window is judged twice.

    Nothing fires while a run is active, the task is frozen, or since the last run the cool-down isn't over. What is due
    meanwhile fires then, unless a later window has been within the bound.

    Quality, drift and latency fire once, and again only after a window was well: what retraining doesn't mend, more of
    it won't.
    """
    state = _observed(state, seen, now, triggers)
    due = (
        []
        if _forbidden(state, seen, now, triggers)
        else [one for one in conditions(state, seen, now, triggers) if one.fires]
    )
    if not due:
        return state, []
    strongest, *others = due
    also = {"also": {one.trigger: one.evidence for one in others}} if others else {}
    firing = Firing(strongest.trigger, strongest.evidence | also)
    return state.fired(firing.trigger, firing.evidence, now), [firing]


def explain(state: State, seen: Seen, now: datetime, triggers: Triggers) -> list[Explained]:
    """Each trigger: whether `evaluate` would have it fire now (alone, or with others), and what is missing."""
    state = _observed(state, seen, now, triggers)
    forbidden = _forbidden(state, seen, now, triggers)
    return [replace(one, missing=one.missing + forbidden) for one in conditions(state, seen, now, triggers)]


def _observed(state: State, seen: Seen, now: datetime, triggers: Triggers) -> State:
    """The state after a look: windows that are new are judged."""
    moment = now.timestamp()
    return replace(
        state,
        last_active=moment if seen.running else state.ran,
        schedule_start=moment if state.scheduled is None else state.scheduled,
        quality=state.quality.after(
            seen.quality, lambda found: window_verdicts.quality(found, seen.reference, triggers)
        ),
        drift=state.drift.after(seen.drift, window_verdicts.drift),
        latency=state.latency.after(seen.latency, lambda found: window_verdicts.latency(found, triggers)),
    )


def _forbidden(state: State, seen: Seen, now: datetime, triggers: Triggers) -> tuple[str, ...]:
    """Why nothing may fire, in sentences."""
    reasons = []
    if seen.running:
        reasons.append("A run is active.")
    if seen.frozen:
        reasons.append("The task is frozen.")
    over = None if state.ran is None else state.ran + triggers.cooldown_seconds
    if over is not None and now.timestamp() < over and not seen.running:
        reasons.append(f"The cool-down lasts until {readable(over)}.")
    return tuple(reasons)
