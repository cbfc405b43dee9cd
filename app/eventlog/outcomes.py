"""The judge: what all that was said of a prediction comes to. Pure: live and in a replay it is this one function."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app import topics
from app.cloudevents import Record, rfc3339
from app.eventlog.joined import Joined, Said, Served
from app.events import OutcomeRecorded
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
    said = _counted(task, joined.said)
    selection, probability = _selection(rules, made.prediction_id)
    reward, defaulted = _reward(rules, served, said, as_of)
    if not said and not defaulted and selection != "audit":
        return None
    verdict = _verdict(rules, _positions(task, made.output, said))
    return OutcomeRecorded(
        **made.model_dump(include=_OF_THE_PREDICTION),
        request_source=served.request_source,
        label=verdict.label,
        actors=verdict.actors,
        contradicted=verdict.contradicted,
        accepted=verdict.accepted,
        reward=reward,
        reward_defaulted=defaulted,
        score=None if verdict.label is None else task.score(made.output, verdict.label),
        feedback=len(said),
        selection=selection,
        selection_probability=probability,
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


def canonical(value: Mapping[str, Any]) -> str:
    """The value as JSON text: the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class _Position:
    """What an actor holds of a prediction: a label, in canonical JSON, or none."""

    actor: str
    label: str | None
    accepted: bool | None
    when: tuple[datetime, str]


@dataclass(frozen=True)
class _Verdict:
    label: dict[str, Any] | None = None
    actors: tuple[str, ...] = ()
    contradicted: bool = False
    accepted: bool | None = None


def _counted(task: Task, said: Sequence[Said]) -> list[Said]:
    """Each event once, in the order of their times; without what the task refuses."""
    if len(said) == 1:  # by far the most common
        return [one for one in said if _accepts(task, one)]
    # Two events of one identity are one event; should they differ, the first in the log is the event.
    in_order = sorted(said, key=lambda one: (one.logged, one.time, canonical(one.given.model_dump(mode="json"))))
    unique: dict[tuple[str, str], Said] = {}
    for one in in_order:
        unique.setdefault((one.source, one.id), one)
    return sorted((one for one in unique.values() if _accepts(task, one)), key=_when)


def _when(said: Said) -> tuple[datetime, str, str]:
    return said.time, said.id, said.source


def _accepts(task: Task, said: Said) -> bool:
    try:
        if said.given.correction is not None:
            task.validate_correction(said.given.correction)
    except Rejected:
        return False
    return True


def _positions(task: Task, output: Mapping[str, Any], said: Sequence[Said]) -> list[_Position]:
    """Where each actor who has said something of the output stands now."""
    latest = {
        one.given.actor: one for one in said if one.given.correction is not None or one.given.accepted is not None
    }
    return [_position(task, output, one) for one in sorted(latest.values(), key=_when)]


def _position(task: Task, output: Mapping[str, Any], said: Said) -> _Position:
    given = said.given
    label = None
    if given.correction is not None:
        label = canonical(task.validate_correction(given.correction))
    elif given.accepted:
        label = canonical(_as_correction(task, output))
    return _Position(given.actor, label, given.accepted, (said.time, said.id))


def _as_correction(task: Task, output: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output as a correction that says the same, so that who accepts agrees with who repeats it."""
    try:
        return task.validate_correction(output)
    except Rejected:
        return output


def _verdict(rules: TaskSettings, positions: Sequence[_Position]) -> _Verdict:
    """The label by the task's rule, and who is behind it. The positions are in the order of their times."""
    held = [position for position in positions if position.label is not None]
    if not held:
        return _Verdict(accepted=positions[-1].accepted if positions else None)
    votes = Counter(position.label for position in held)
    most = max(votes.values()) if rules.label_rule == "majority" else 0
    label = next(position.label for position in reversed(held) if votes[position.label] >= most)
    behind = [position for position in held if position.label == label]
    return _Verdict(
        label=json.loads(label or "null"),
        actors=tuple(sorted(position.actor for position in behind)),
        contradicted=len(votes) > 1,
        accepted=next((position.accepted for position in reversed(behind) if position.accepted is not None), None),
    )


def _reward(rules: TaskSettings, served: Served, said: Sequence[Said], as_of: datetime) -> tuple[float | None, bool]:
    """The reward, and whether it is the default for one that never came."""
    seconds = rules.reward_window_seconds
    end = None if seconds is None else served.time + timedelta(seconds=seconds)
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
