"""The judge: what all that was said of a prediction comes to. Pure: live and in a replay it is this one function."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.events import topics
from app.events.base import canonical_json
from app.events.cloudevents import Record, format_rfc3339
from app.events.types import OutcomeRecorded
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory
from app.settings import TaskSettings
from models.base import Rejected, Task

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, OutcomeRecorded.type)


def build_outcome(
    task: Task, task_settings: TaskSettings, history: PredictionHistory, as_of: datetime
) -> OutcomeRecorded | None:
    """The outcome of a prediction; None while it isn't served, or there is nothing to say of it.

    In which order feedback comes, and how often, makes no difference: an event counts once, by its identity; of one
    actor's the latest by (time, id) counts. Feedback that the task refuses counts for nothing. `as_of` says only
    whether the reward's window has ended: what was not known by then is for the caller to leave out.

    Of several rewards, whoever gave them, the latest counts: a reward is a measurement that may be repeated, and a
    mean would be a value that nobody gave.
    """
    served = history.served
    if served is None or served.prediction.role == "shadow":
        return None
    made = served.prediction
    verdict = aggregate_feedback(task, task_settings, made.output, served.time, history.feedback, as_of)
    selection, probability = _selection(task_settings, made.prediction_id)
    if not verdict.feedback and not verdict.reward_defaulted and selection != "audit":
        return None
    return OutcomeRecorded(
        **made.model_dump(include=_PREDICTION_FIELDS),
        **vars(verdict) | {"label": None if verdict.label is None else json.loads(verdict.label)},
        request_source=served.request_source,
        selection=selection,
        selection_probability=probability,
    )


@dataclass(frozen=True)
class AggregatedFeedback:
    """What all that was said of an output comes to: as in `OutcomeRecorded`, the label as canonical JSON."""

    label: str | None
    actors: tuple[str, ...]
    contradicted: bool
    accepted: bool | None
    reward: float | None
    reward_defaulted: bool
    score: float | None
    feedback: int


def aggregate_feedback(
    task: Task,
    task_settings: TaskSettings,
    output: Mapping[str, Any],
    predicted: datetime,
    feedback: Sequence[FeedbackEvent],
    as_of: datetime,
) -> AggregatedFeedback:
    """What was said of an output that was `predicted` then: the part of `judge` that a replay needs."""
    counted = _valid_feedback(task, feedback)
    reward, defaulted = _choose_reward(task_settings, predicted, [one for one, _ in counted], as_of)
    positions = _actor_opinions(task, output, counted)
    # Who holds a label; the positions are in the order of their times.
    held = [position for position in positions if position.label is not None]
    label = _choose_label(task_settings, held)
    behind = [position for position in held if position.label == label]
    sayings = [position.accepted for position in (behind if held else positions[-1:])]
    return AggregatedFeedback(
        label=label,
        actors=tuple(sorted(position.actor for position in behind)),
        contradicted=any(position.label != label for position in held),
        accepted=next((one for one in reversed(sayings) if one is not None), None),
        reward=reward,
        reward_defaulted=defaulted,
        score=None if label is None else task.score(output, json.loads(label)),
        feedback=len(counted),
    )


_PREDICTION_FIELDS = {"prediction_id", "request_id", "task", "model", "role", "output", "confidence", "propensity"}


def in_audit_sample(prediction_id: str, rate: float) -> bool:
    """Whether the random audit looks at a prediction: as the rate rises, more are drawn and none is left out."""
    number = int.from_bytes(hashlib.sha256(prediction_id.encode()).digest()[:8], "big")
    return number < rate * 2**64


def outcome_id(outcome: OutcomeRecorded) -> str:
    """The event's id: the same for the same outcome of the same prediction, however often it is recorded."""
    return str(uuid.uuid5(_NAMESPACE, canonical_json(outcome.model_dump(mode="json"))))


def build_outcome_record(outcome: OutcomeRecorded, as_of: datetime) -> Record:
    """The outcome as a record; of two outcomes of one prediction the later by (`ce_time`, id) counts."""
    return outcome.to_record(
        topics.outcomes(outcome.task),
        outcome.prediction_id.encode(),
        id=outcome_id(outcome),
        source=f"hindsight/{outcome.task}",
        time=format_rfc3339(as_of.timestamp() * 1000),
    )


@dataclass(frozen=True)
class _ActorOpinion:
    """What an actor holds of a prediction: a label, in canonical JSON, or none."""

    actor: str
    label: str | None
    accepted: bool | None


_ValidFeedback = tuple[FeedbackEvent, str | None]
"""An event that counts, and its correction in canonical JSON."""


def _valid_feedback(task: Task, feedback: Sequence[FeedbackEvent]) -> list[_ValidFeedback]:
    """Each event once, in the order of their times; without what the task refuses."""
    if len(feedback) > 1:  # by far the most have one
        # Two events of one identity are one event; should they differ, the first in the log is the event.
        in_order = sorted(
            feedback, key=lambda one: (one.logged, one.time, canonical_json(one.feedback.model_dump(mode="json")))
        )
        unique: dict[tuple[str, str], FeedbackEvent] = {}
        for one in in_order:
            unique.setdefault((one.source, one.id), one)
        feedback = sorted(unique.values(), key=lambda one: (one.time, one.id, one.source))
    counted: list[_ValidFeedback] = []
    for one in feedback:
        correction = one.feedback.correction
        with suppress(Rejected):
            counted.append((one, None if correction is None else canonical_json(task.validate_correction(correction))))
    return counted


def _actor_opinions(
    task: Task, output: Mapping[str, Any], valid_feedback: Sequence[_ValidFeedback]
) -> list[_ActorOpinion]:
    """Where each actor who has said something of the output stands now."""
    latest: dict[str, _ActorOpinion] = {}
    for said, correction in valid_feedback:
        given = said.feedback
        accepted = canonical_json(_as_correction(task, output)) if correction is None and given.accepted else None
        label = correction or accepted
        if label is not None or given.accepted is not None:
            latest.pop(given.actor, None)  # each stands where the actor spoke last
            latest[given.actor] = _ActorOpinion(given.actor, label, given.accepted)
    return list(latest.values())


def _as_correction(task: Task, output: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output as a correction that says the same, so that who accepts agrees with who repeats it."""
    try:
        return task.validate_correction(output)
    except Rejected:
        return output


def _choose_label(task_settings: TaskSettings, opinions: Sequence[_ActorOpinion]) -> str | None:
    """The label by the task's rule."""
    votes = Counter(position.label for position in opinions)
    most = max(votes.values(), default=0) if task_settings.label_rule == "majority" else 0
    return next((position.label for position in reversed(opinions) if votes[position.label] >= most), None)


def _choose_reward(
    task_settings: TaskSettings, predicted: datetime, feedback: Sequence[FeedbackEvent], as_of: datetime
) -> tuple[float | None, bool]:
    """The reward, and whether it is the default for one that never came."""
    seconds = task_settings.reward_window_seconds
    end = None if seconds is None else predicted + timedelta(seconds=seconds)
    rewards = [one.feedback.reward for one in feedback if end is None or one.time <= end]
    given = [reward for reward in rewards if reward is not None]
    if given:
        return given[-1], False
    if end is None or as_of <= end:
        return None, False
    return task_settings.reward_default, True


def _selection(
    task_settings: TaskSettings, prediction_id: str
) -> tuple[Literal["all", "audit", "volunteer"], float | None]:
    if task_settings.full_feedback:
        return "all", 1.0
    if in_audit_sample(prediction_id, task_settings.audit_rate):
        return "audit", task_settings.audit_rate
    return "volunteer", None
