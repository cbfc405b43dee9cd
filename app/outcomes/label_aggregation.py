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
from app.events.base import canonical
from app.events.cloudevents import Record, rfc3339
from app.events.types import OutcomeRecorded
from app.outcomes.prediction_history import Joined, Said
from app.settings import TaskSettings
from models.base import Rejected, Task

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, OutcomeRecorded.type)


def judge(task: Task, rules: TaskSettings, joined: Joined, as_of: datetime) -> OutcomeRecorded | None:
    """The outcome of a prediction; None while it isn't served, or there is nothing to say of it.

    In which order feedback comes, and how often, makes no difference: an event counts once, by its identity; of one
    actor's the latest by (time, id) counts. Feedback that the task refuses counts for nothing. `as_of` says only
    whether the reward's window has ended: what was not known by then is for the caller to leave out.

    Of several rewards, whoever gave them, the latest counts: a reward is a measurement that may be repeated, and a
    mean would be a value that nobody gave.
    """
    served = joined.served
    if served is None or served.made.role == "shadow":
        return None
    made = served.made
    verdict = weighed(task, rules, made.output, served.time, joined.said, as_of)
    selection, probability = _selection(rules, made.prediction_id)
    if not verdict.feedback and not verdict.reward_defaulted and selection != "audit":
        return None
    return OutcomeRecorded(
        **made.model_dump(include=_OF_THE_PREDICTION),
        **vars(verdict) | {"label": None if verdict.label is None else json.loads(verdict.label)},
        request_source=served.request_source,
        selection=selection,
        selection_probability=probability,
    )


@dataclass(frozen=True)
class Verdict:
    """What all that was said of an output comes to: as in `OutcomeRecorded`, the label as canonical JSON."""

    label: str | None
    actors: tuple[str, ...]
    contradicted: bool
    accepted: bool | None
    reward: float | None
    reward_defaulted: bool
    score: float | None
    feedback: int


def weighed(
    task: Task,
    rules: TaskSettings,
    output: Mapping[str, Any],
    predicted: datetime,
    said: Sequence[Said],
    as_of: datetime,
) -> Verdict:
    """What was said of an output that was `predicted` then: the part of `judge` that a replay needs."""
    counted = _counted(task, said)
    reward, defaulted = _reward(rules, predicted, [one for one, _ in counted], as_of)
    positions = _positions(task, output, counted)
    # Who holds a label; the positions are in the order of their times.
    held = [position for position in positions if position.label is not None]
    label = _label(rules, held)
    behind = [position for position in held if position.label == label]
    sayings = [position.accepted for position in (behind if held else positions[-1:])]
    return Verdict(
        label=label,
        actors=tuple(sorted(position.actor for position in behind)),
        contradicted=any(position.label != label for position in held),
        accepted=next((one for one in reversed(sayings) if one is not None), None),
        reward=reward,
        reward_defaulted=defaulted,
        score=None if label is None else task.score(output, json.loads(label)),
        feedback=len(counted),
    )


_OF_THE_PREDICTION = {"prediction_id", "request_id", "task", "model", "role", "output", "confidence", "propensity"}


def drawn(prediction_id: str, rate: float) -> bool:
    """Whether the random audit looks at a prediction: as the rate rises, more are drawn and none is left out."""
    number = int.from_bytes(hashlib.sha256(prediction_id.encode()).digest()[:8], "big")
    return number < rate * 2**64


def outcome_id(outcome: OutcomeRecorded) -> str:
    """The event's id: the same for the same outcome of the same prediction, however often it is recorded."""
    return str(uuid.uuid5(_NAMESPACE, canonical(outcome.model_dump(mode="json"))))


def record_of(outcome: OutcomeRecorded, as_of: datetime) -> Record:
    """The outcome as a record; of two outcomes of one prediction the later by (`ce_time`, id) counts."""
    return outcome.record(
        topics.outcomes(outcome.task),
        outcome.prediction_id.encode(),
        id=outcome_id(outcome),
        source=f"hindsight/{outcome.task}",
        time=rfc3339(as_of.timestamp() * 1000),
    )


@dataclass(frozen=True)
class _Position:
    """What an actor holds of a prediction: a label, in canonical JSON, or none."""

    actor: str
    label: str | None
    accepted: bool | None


_Counted = tuple[Said, str | None]
"""An event that counts, and its correction in canonical JSON."""


def _counted(task: Task, said: Sequence[Said]) -> list[_Counted]:
    """Each event once, in the order of their times; without what the task refuses."""
    if len(said) > 1:  # by far the most have one
        # Two events of one identity are one event; should they differ, the first in the log is the event.
        in_order = sorted(said, key=lambda one: (one.logged, one.time, canonical(one.given.model_dump(mode="json"))))
        unique: dict[tuple[str, str], Said] = {}
        for one in in_order:
            unique.setdefault((one.source, one.id), one)
        said = sorted(unique.values(), key=lambda one: (one.time, one.id, one.source))
    counted: list[_Counted] = []
    for one in said:
        correction = one.given.correction
        with suppress(Rejected):
            counted.append((one, None if correction is None else canonical(task.validate_correction(correction))))
    return counted


def _positions(task: Task, output: Mapping[str, Any], counted: Sequence[_Counted]) -> list[_Position]:
    """Where each actor who has said something of the output stands now."""
    latest: dict[str, _Position] = {}
    for said, correction in counted:
        given = said.given
        accepted = canonical(_as_correction(task, output)) if correction is None and given.accepted else None
        label = correction or accepted
        if label is not None or given.accepted is not None:
            latest.pop(given.actor, None)  # each stands where the actor spoke last
            latest[given.actor] = _Position(given.actor, label, given.accepted)
    return list(latest.values())


def _as_correction(task: Task, output: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output as a correction that says the same, so that who accepts agrees with who repeats it."""
    try:
        return task.validate_correction(output)
    except Rejected:
        return output


def _label(rules: TaskSettings, held: Sequence[_Position]) -> str | None:
    """The label by the task's rule."""
    votes = Counter(position.label for position in held)
    most = max(votes.values(), default=0) if rules.label_rule == "majority" else 0
    return next((position.label for position in reversed(held) if votes[position.label] >= most), None)


def _reward(
    rules: TaskSettings, predicted: datetime, said: Sequence[Said], as_of: datetime
) -> tuple[float | None, bool]:
    """The reward, and whether it is the default for one that never came."""
    seconds = rules.reward_window_seconds
    end = None if seconds is None else predicted + timedelta(seconds=seconds)
    rewards = [one.given.reward for one in said if end is None or one.time <= end]
    given = [reward for reward in rewards if reward is not None]
    if given:
        return given[-1], False
    if end is None or as_of <= end:
        return None, False
    return rules.reward_default, True


def _selection(rules: TaskSettings, prediction_id: str) -> tuple[Literal["all", "audit", "volunteer"], float | None]:
    if rules.all_are_judged:
        return "all", 1.0
    if drawn(prediction_id, rules.audit_rate):
        return "audit", rules.audit_rate
    return "volunteer", None
