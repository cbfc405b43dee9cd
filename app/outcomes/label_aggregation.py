"""Aggregation of feedback into labels, rewards and outcomes: pure functions, used live and in replays."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from app.events import topics
from app.events.base import canonical_json
from app.events.cloudevents import Record, format_rfc3339
from app.events.memory import MemoryOutcome
from app.events.types import FeedbackRetracted, OutcomeRecorded
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory
from app.outcomes.reward_aggregation import aggregate_rewards
from app.settings import TaskSettings
from app.settings.namespace import qualify
from models.base import Rejected, Task

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, OutcomeRecorded.type)


def build_outcome(
    task: Task, task_settings: TaskSettings, history: PredictionHistory, as_of: datetime
) -> OutcomeRecorded | None:
    """Return the outcome of a prediction; None if it is not served yet, or has nothing to record.

    The order and the number of deliveries of events make no difference: a feedback event counts once, by its identity,
    unless it is retracted; of an actor's events that count the latest by (time, id) counts. So a retraction of the
    latest lets the one before it count again. Feedback that the task rejects is ignored. `as_of` only decides whether
    the reward window has ended: the caller leaves out events that were not known by then.
    """
    served = history.served
    if served is None or served.prediction.role == "shadow":
        return None
    prediction = served.prediction
    distinct = _distinct_events(history.feedback)
    remaining = [event for event in distinct if not _is_retracted(event, history.retractions)]
    retracted = len(distinct) - len(remaining)
    of_served = aggregate_feedback(task, task_settings, prediction.output, served.time, remaining, as_of)
    aggregated, memory = of_served, None
    if prediction.memory is not None:
        aggregated = score_model(task, of_served, prediction.memory.output)
        memory = MemoryOutcome(
            outcome=prediction.memory.outcome,
            output=prediction.output,
            score=of_served.score,
            accepted=of_served.accepted,
            reward=of_served.reward,
        )
    selection, probability = draw_selection(task_settings, prediction.prediction_id)
    # A retraction of everything is an outcome: it replaces those before it.
    if not aggregated.feedback and not retracted and not aggregated.reward_defaulted and selection != "audit":
        return None
    return OutcomeRecorded(
        **prediction.of_model().model_dump(include=_PREDICTION_FIELDS),
        **vars(aggregated)
        | {
            "label": None if aggregated.label is None else json.loads(aggregated.label),
            "rewards": None if aggregated.rewards is None else json.loads(aggregated.rewards),
            "position_rewards": None
            if aggregated.position_rewards is None
            else tuple(json.loads(aggregated.position_rewards)),
            "audit_answered": aggregated.audit_answered if selection == "audit" else None,
            "preferences": json.loads(aggregated.preferences or "[]"),
        },
        request_source=served.request_source,
        retracted=retracted,
        selection=selection,
        selection_probability=probability,
        memory=memory,
    )


@dataclass(frozen=True)
class AggregatedFeedback:
    """The aggregated feedback on an output: fields as in `OutcomeRecorded`, of which objects and lists are JSON."""

    label: str | None
    actors: tuple[str, ...]
    contradicted: bool
    accepted: bool | None
    reward: float | None
    rewards: str | None
    position_rewards: str | None
    reward_defaulted: bool
    score: float | None
    feedback: int
    audit_answered: bool
    preferences: str | None


def aggregate_feedback(
    task: Task,
    task_settings: TaskSettings,
    output: Mapping[str, Any],
    predicted: datetime,
    feedback: Sequence[FeedbackEvent],
    as_of: datetime,
) -> AggregatedFeedback:
    """Return the aggregated feedback, none of it retracted, on an output that was predicted at time `predicted`."""
    valid_feedback = _valid_feedback(task, feedback)
    rewards = aggregate_rewards(task_settings, predicted, [event for event, _ in valid_feedback], as_of)
    opinions = _actor_opinions(task, output, valid_feedback)
    # Opinions are ordered by time.
    labelled = [opinion for opinion in opinions if opinion.label is not None]
    label = _choose_label(task_settings, labelled)
    supporters = [opinion for opinion in labelled if opinion.label == label]
    acceptances = [opinion.accepted for opinion in (supporters if labelled else opinions[-1:])]
    return AggregatedFeedback(
        label=label,
        actors=tuple(sorted(opinion.actor for opinion in supporters)),
        contradicted=any(opinion.label != label for opinion in labelled),
        accepted=next((accepted for accepted in reversed(acceptances) if accepted is not None), None),
        reward=rewards.reward,
        rewards=canonical_json(rewards.by_name) if rewards.by_name else None,
        position_rewards=json.dumps(rewards.by_position) if rewards.by_position else None,
        reward_defaulted=rewards.is_default,
        score=None if label is None else task.score(output, json.loads(label)),
        feedback=len(valid_feedback),
        audit_answered=any(event.feedback.queue == "audit" for event, _ in valid_feedback),
        preferences=_choose_preferences(task, task_settings, output, valid_feedback),
    )


def score_model(task: Task, of_served: AggregatedFeedback, own_output: Mapping[str, Any]) -> AggregatedFeedback:
    """Return what feedback on a remembered correction says of the model's own output, which was not served: its score.

    Acceptance, rewards and preferences are of what was served.
    """
    score = None if of_served.label is None else task.score(own_output, json.loads(of_served.label))
    return replace(
        of_served,
        score=score,
        accepted=None,
        reward=None,
        rewards=None,
        position_rewards=None,
        reward_defaulted=False,
        preferences=None,
    )


_PREDICTION_FIELDS = {
    *("prediction_id", "request_id", "task", "model", "role", "output", "confidence", "propensity"),
    *("input_digest", "near_key"),
}


def in_audit_sample(prediction_id: str, rate: float) -> bool:
    """Return whether a prediction is in the random audit sample. A higher rate adds predictions and removes none."""
    number = int.from_bytes(hashlib.sha256(prediction_id.encode()).digest()[:8], "big")
    return number < rate * 2**64


def outcome_id(outcome: OutcomeRecorded) -> str:
    """Return the event id: equal for equal outcomes of a prediction, however often they are recorded."""
    # Outcomes keep the ids that older releases gave them.
    added_later = {name for name, absent in _ADDED_LATER.items() if getattr(outcome, name) == absent}
    return str(uuid.uuid5(_NAMESPACE, canonical_json(outcome.model_dump(mode="json", exclude=added_later))))


def build_outcome_record(outcome: OutcomeRecorded, as_of: datetime) -> Record:
    """Return the outcome as a record; of two outcomes of a prediction the later by (`ce_time`, id) counts."""
    return outcome.to_record(
        topics.outcomes(outcome.task),
        outcome.prediction_id.encode(),
        id=outcome_id(outcome),
        source=qualify(f"hindsight/{outcome.task}"),
        time=format_rfc3339(as_of.timestamp() * 1000),
    )


_ADDED_LATER: Mapping[str, Any] = {
    "retracted": 0,
    "audit_answered": None,
    "rewards": None,
    "position_rewards": None,
    "preferences": (),
    "input_digest": None,
    "near_key": None,
    "memory": None,
}
"""Fields that older releases lack, with the value that means the same as their absence."""


@dataclass(frozen=True)
class _ActorOpinion:
    """An actor's current opinion of a prediction; the label is in canonical JSON, or None."""

    actor: str
    label: str | None
    accepted: bool | None


_ValidFeedback = tuple[FeedbackEvent, str | None]
"""A valid event, and its correction in canonical JSON."""


def _distinct_events(feedback: Sequence[FeedbackEvent]) -> Sequence[FeedbackEvent]:
    """Return each event once, ordered by time."""
    if len(feedback) < 2:  # as most predictions have
        return feedback
    # Two events with one identity are the same event; if they differ, the first in the log counts.
    in_order = sorted(
        feedback,
        key=lambda event: (event.logged, event.time, canonical_json(event.feedback.model_dump(mode="json"))),
    )
    events_by_identity: dict[tuple[str, str], FeedbackEvent] = {}
    for event in in_order:
        events_by_identity.setdefault((event.source, event.id), event)
    return sorted(events_by_identity.values(), key=lambda event: (event.time, event.id, event.source))


def _is_retracted(event: FeedbackEvent, retractions: Sequence[FeedbackRetracted]) -> bool:
    """Return whether one of the retractions names the event, whichever came first."""
    return any(retraction.names(event.source, event.id, event.feedback.actor) for retraction in retractions)


def _valid_feedback(task: Task, feedback: Sequence[FeedbackEvent]) -> list[_ValidFeedback]:
    """Return each event once, ordered by time, without those that the task rejects."""
    valid: list[_ValidFeedback] = []
    for event in _distinct_events(feedback):
        with suppress(Rejected):
            given = event.feedback.validated(task.validate_correction)
            correction = None if given.correction is None else canonical_json(given.correction)
            valid.append((replace(event, feedback=given), correction))
    return valid


def _actor_opinions(
    task: Task, output: Mapping[str, Any], valid_feedback: Sequence[_ValidFeedback]
) -> list[_ActorOpinion]:
    """Return the current opinion of each actor, ordered by the actors' last events."""
    latest: dict[str, _ActorOpinion] = {}
    for event, correction in valid_feedback:
        feedback = event.feedback
        accepted_label = (
            canonical_json(as_correction(task, output)) if correction is None and feedback.accepted else None
        )
        label = correction or accepted_label
        if label is not None or feedback.accepted is not None:
            latest.pop(feedback.actor, None)  # reinsert: ordered by last event
            latest[feedback.actor] = _ActorOpinion(feedback.actor, label, feedback.accepted)
    return list(latest.values())


def as_correction(task: Task, output: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the output as an equivalent correction, so that an actor who accepts agrees with one who repeats it."""
    try:
        return task.validate_correction(output)
    except Rejected:
        return output


def _choose_label(task_settings: TaskSettings, opinions: Sequence[_ActorOpinion]) -> str | None:
    """Return the label by the task's rule."""
    if task_settings.label_rule != "majority" or len(opinions) < 2:
        return opinions[-1].label if opinions else None
    votes = Counter(opinion.label for opinion in opinions)
    most_votes = max(votes.values())
    return next(opinion.label for opinion in reversed(opinions) if votes[opinion.label] == most_votes)


def _choose_preferences(
    task: Task, task_settings: TaskSettings, output: Mapping[str, Any], valid_feedback: Sequence[_ValidFeedback]
) -> str | None:
    """Return the preferences, one for each other output, by the task's label rule; None if there are none.

    Of an actor's comparisons with one other output the latest counts.
    """
    served = canonical_json(as_correction(task, output))
    opinions: dict[str, dict[str, _ActorOpinion]] = {}
    for event, _ in valid_feedback:
        preference, actor = event.feedback.preference, event.feedback.actor
        if preference is not None and (other := canonical_json(preference.output)) != served:
            opinions.setdefault(other, {}).pop(actor, None)  # reinsert: ordered by last event
            opinions[other][actor] = _ActorOpinion(actor, canonical_json(preference.model_dump()), None)
    chosen = [_choose_label(task_settings, list(opinions[other].values())) for other in sorted(opinions)]
    return f"[{','.join(map(str, chosen))}]" if chosen else None


def draw_selection(
    task_settings: TaskSettings, prediction_id: str
) -> tuple[Literal["all", "audit", "volunteer"], float | None]:
    """Return why a prediction gets feedback, and with which probability; None if that is not known."""
    if task_settings.full_feedback:
        return "all", 1.0
    if in_audit_sample(prediction_id, task_settings.audit_rate):
        return "audit", task_settings.audit_rate
    return "volunteer", None
