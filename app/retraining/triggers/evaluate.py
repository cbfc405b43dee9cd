"""What starts a retraining, and why. Pure: the time is given, and what is remembered is in the state."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.retraining.triggers import window_verdicts
from app.retraining.triggers.conditions import TriggerExplanation, TriggerName, evaluate_conditions, format_time
from app.retraining.triggers.observation import Observation, TaskTriggerState
from app.settings.triggers import TriggerSettings

__all__ = ["Firing", "Observation", "TaskTriggerState", "TriggerExplanation", "TriggerSettings", "evaluate", "explain"]


@dataclass(frozen=True)
class Firing:
    """A run is to begin, and why: as in `RetrainingTriggered`."""

    trigger: TriggerName
    """The strongest reason."""
    evidence: dict[str, Any]
    """What it saw, as plain JSON; in `also`, by their names, what the others saw that were due as well."""


def evaluate(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> tuple[TaskTriggerState, list[Firing]]:
    """What is due now: one run or none. It may be called as often as one likes: no window is judged twice.

    Nothing fires while a run is active, the task is frozen, or since the last run the cool-down isn't over. What is due
    meanwhile fires then, unless a later window has been within the bound.

    Quality, drift and latency fire once, and again only after a window was well: what retraining doesn't mend, more of
    it won't.
    """
    state = _apply_observation(state, seen, now, triggers)
    due = (
        []
        if _blocking_reasons(state, seen, now, triggers)
        else [one for one in evaluate_conditions(state, seen, now, triggers) if one.fires]
    )
    if not due:
        return state, []
    strongest, *others = due
    also = {"also": {one.trigger: one.evidence for one in others}} if others else {}
    firing = Firing(strongest.trigger, strongest.evidence | also)
    return state.record_firing(firing.trigger, firing.evidence, now), [firing]


def explain(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> list[TriggerExplanation]:
    """Each trigger: whether `evaluate` would have it fire now (alone, or with others), and what is missing."""
    state = _apply_observation(state, seen, now, triggers)
    forbidden = _blocking_reasons(state, seen, now, triggers)
    return [replace(one, missing=one.missing + forbidden) for one in evaluate_conditions(state, seen, now, triggers)]


def _apply_observation(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> TaskTriggerState:
    """The state after a look: windows that are new are judged."""
    moment = now.timestamp()
    return replace(
        state,
        last_active=moment if seen.running else state.last_active,
        schedule_start=moment if state.schedule_start is None else state.schedule_start,
        quality=state.quality.apply(
            seen.quality, lambda found: window_verdicts.judge_quality(found, seen.reference, triggers)
        ),
        drift=state.drift.apply(seen.drift, window_verdicts.judge_drift),
        latency=state.latency.apply(seen.latency, lambda found: window_verdicts.judge_latency(found, triggers)),
    )


def _blocking_reasons(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> tuple[str, ...]:
    """Why nothing may fire, in sentences."""
    reasons = []
    if seen.running:
        reasons.append("A run is active.")
    if seen.frozen:
        reasons.append("The task is frozen.")
    over = None if state.last_active is None else state.last_active + triggers.cooldown_seconds
    if over is not None and now.timestamp() < over and not seen.running:
        reasons.append(f"The cool-down lasts until {format_time(over)}.")
    return tuple(reasons)
