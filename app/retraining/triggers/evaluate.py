"""The decision to start a retraining run. Pure: the time is an argument, and the memory is in the state."""

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
    """The trigger of a new run and its evidence, as in `RetrainingTriggered`."""

    trigger: TriggerName
    """The strongest trigger."""
    evidence: dict[str, Any]
    """Its figures as plain JSON; in `also`, by name, the figures of the other triggers that were due."""


def evaluate(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> tuple[TaskTriggerState, list[Firing]]:
    """Return the new state, and one firing or none. It may be called at any rate: no window is judged twice.

    Nothing fires while a run is active, the task is frozen, or the cool-down after the last run lasts. A trigger that
    is due meanwhile fires afterwards, unless a later window is within the bound.

    Drift and latency fire once, and again only after a healthy window. A fall of quality fires again while it lasts, on
    windows that began after the last run, as soon as there are enough new labels for another result.
    """
    state = _apply_observation(state, seen, now, triggers)
    due = (
        []
        if _blocking_reasons(state, seen, now, triggers)
        else [condition for condition in evaluate_conditions(state, seen, now, triggers) if condition.fires]
    )
    if not due:
        return state, []
    strongest, *others = due
    also = {"also": {other.trigger: other.evidence for other in others}} if others else {}
    firing = Firing(strongest.trigger, strongest.evidence | also)
    return state.record_firing(firing.trigger, firing.evidence, now), [firing]


def explain(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> list[TriggerExplanation]:
    """Return for each trigger whether `evaluate` would fire it now (alone or with others), and what is missing."""
    state = _apply_observation(state, seen, now, triggers)
    blocking = _blocking_reasons(state, seen, now, triggers)
    conditions = evaluate_conditions(state, seen, now, triggers)
    return [replace(condition, missing=condition.missing + blocking) for condition in conditions]


def _apply_observation(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> TaskTriggerState:
    """Return the state after judging the new windows."""
    moment = now.timestamp()
    return replace(
        state,
        last_active=moment if seen.running else state.last_active,
        schedule_start=moment if state.schedule_start is None else state.schedule_start,
        quality=state.quality.apply(
            seen.quality,
            lambda quality: window_verdicts.judge_quality(quality, seen.quality_history, seen.reference, triggers),
        ),
        drift=state.drift.apply(seen.drift, window_verdicts.judge_drift),
        latency=state.latency.apply(seen.latency, lambda latency: window_verdicts.judge_latency(latency, triggers)),
    )


def _blocking_reasons(
    state: TaskTriggerState, seen: Observation, now: datetime, triggers: TriggerSettings
) -> tuple[str, ...]:
    """Return the reasons why nothing may fire, in sentences."""
    reasons = []
    if seen.running:
        reasons.append("A run is active.")
    if seen.frozen:
        reasons.append("The task is frozen.")
    cooldown_end = None if state.last_active is None else state.last_active + triggers.cooldown_seconds
    if cooldown_end is not None and now.timestamp() < cooldown_end and not seen.running:
        reasons.append(f"The cool-down lasts until {format_time(cooldown_end)}.")
    return tuple(reasons)
