"""From records to rows: which tables a record in the log has a row in, and what that row says."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from app.catalog import orm
from app.catalog.orm import RUN_STATES, Base
from app.events.base import EventData
from app.events.cloudevents import ConsumedRecord, Event, complete_event, header_text, split_version
from app.events.decoding import decode
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import DatasetBuilt, ModelEvaluated, ModelRegistered, ModelTrained, RouteChanged
from app.events.topics import DEAD_LETTERS
from app.events.types import EventRejected, FeedbackGiven, OutcomeRecorded, PredictionFailed, PredictionMade
from models.base import Rejected

TableRow = tuple[type[Base], dict[str, Any]]

UNREADABLE_ERRORS = (Rejected, ValueError, OverflowError)
"""What `rows` raises for a record that can't be read."""

_MAX_BIGINT = 2**63 - 1
_PREDICTION_TYPES: tuple[type[EventData], ...] = (PredictionMade, PredictionFailed)
_LIFECYCLE_TYPES = (RetrainingTriggered, DatasetBuilt, ModelTrained, ModelEvaluated, ModelRegistered, RouteChanged)
_RUN_STATES: dict[type[EventData], str] = {
    RetrainingTriggered: "triggered",
    DatasetBuilt: "built",
    ModelTrained: "trained",
    ModelRegistered: "registered",
    RouteChanged: "routed",
}
_TYPES_BY_TOPIC: dict[str, tuple[type[EventData], ...]] = {
    "predictions": _PREDICTION_TYPES,
    "shadow-predictions": _PREDICTION_TYPES,
    "feedback": (FeedbackGiven,),
    "outcomes": (OutcomeRecorded,),
}


def project_record(record: ConsumedRecord) -> Iterator[TableRow]:
    """The rows that a record makes, were it the only one. Raises what is in `UNREADABLE`."""
    if record.origin.topic == DEAD_LETTERS:
        yield orm.DeadLetterRow, _dead_letter_row(record) | _log_position(record, EventRejected.type)
        return
    kind = _event_type(record)
    # History that was published again is there already; what a session says while it runs is nobody's to judge.
    if kind is None or any(header_text(record.headers, name) is not None for name in ("ce_replay", "ce_partial")):
        return
    event = complete_event(record.headers, record.value or b"", record.origin, kind.type)
    # On a topic of its own an application may give its feedback a type of its own.
    name = event.type if event.type.startswith("hindsight.") else kind.type
    said = decode(name, event.data)
    data = json.loads(event.data)
    json.dumps(data, allow_nan=False)  # a ValueError for what Python reads as JSON and databases don't
    common = _log_position(record, name) | {"data": data}
    for table, row in _task_rows(said, event) if kind not in _LIFECYCLE_TYPES else _lifecycle_rows(said, event):
        yield table, row | common if "data" in table.__table__.columns else row | _log_position(record, name)
    yield from _run_rows(said, common["logged"])


def _event_type(record: ConsumedRecord) -> type[EventData] | None:
    """The type that a record is of; None where it has no row."""
    kinds = _TYPES_BY_TOPIC.get(record.origin.topic.rpartition(".")[2])
    said = (header_text(record.headers, "ce_type") or "").rpartition(".v")[0]
    named = [kind for kind in kinds or _LIFECYCLE_TYPES if split_version(kind.type)[0] == said]
    return next(iter(named or kinds or ()), None)


def _log_position(record: ConsumedRecord, name: str) -> dict[str, Any]:
    origin = record.origin
    return {
        "type": name,
        "logged": datetime.fromtimestamp(origin.timestamp_ms / 1000, UTC),
        "partition": origin.partition,
        "offset": origin.offset,
        "topic": origin.topic,
        "epoch": origin.topic_id,
    }


def _task_rows(said: EventData, event: Event) -> Iterator[TableRow]:
    time = datetime.fromisoformat(event.time).astimezone(UTC)
    match said:
        case PredictionMade():
            yield (
                orm.PredictionRow,
                {
                    "prediction_id": said.prediction_id,
                    "task": said.task,
                    "role": said.role,
                    "version": said.model.version,
                    "request_source": event.extensions.get("requestsource", f"kafka:{said.task}.requests"),
                    "subject": event.subject,
                    "time": time,
                    "waiting": said.role != "shadow",
                },
            )
        case PredictionFailed() if said.model is not None and said.role is not None:
            yield (
                orm.FailureRow,
                {
                    "prediction_id": said.prediction_id,
                    "task": said.task,
                    "role": said.role,
                    "version": said.model.version,
                    "time": time,
                },
            )
        case FeedbackGiven():
            task, prediction_id = said.task_and_prediction
            about = {"task": task, "prediction_id": prediction_id, "actor": said.actor, "time": time}
            yield (
                orm.FeedbackRow,
                about | {"key": event_key(event.source, event.id), "source": event.source, "id": event.id},
            )
        case OutcomeRecorded():
            about = {"prediction_id": said.prediction_id, "task": said.task, "version": said.model.version}
            yield (
                orm.OutcomeRow,
                about
                | {
                    "score": _without_signed_zero(said.score),
                    "reward": _without_signed_zero(said.reward),
                    "time": time,
                },
            )


def _lifecycle_rows(said: EventData, event: Event) -> Iterator[TableRow]:
    match said:
        case DatasetBuilt():
            identity = {"content_hash": said.content_hash, "location": said.location}
            yield orm.DatasetRow, identity | {"task": said.task, "run_id": said.run_id}
        case ModelTrained():
            yield orm.CandidateRow, _version_columns(said)
        case ModelEvaluated():
            yield (
                orm.EvaluationRow,
                _version_columns(said) | {"key": event_key(event.source, event.id), "passed": said.passed},
            )
        case ModelRegistered():
            version = _version_columns(said)
            yield orm.VersionRow, version
            yield orm.ModelRow, version
        case RouteChanged():
            route = {"task": said.task, "action": said.action, "champion": said.champion, "canary": said.canary}
            yield orm.RouteChangeRow, route | {"key": event_key(event.source, event.id)}


def _version_columns(said: ModelTrained | ModelEvaluated | ModelRegistered) -> dict[str, Any]:
    return {"task": said.task, "name": said.model.name, "version": said.model.version, "run_id": said.run_id}


def _run_rows(said: EventData, logged: datetime) -> Iterator[TableRow]:
    run_id, state = getattr(said, "run_id", None), _run_state(said)
    if run_id is not None and state is not None:
        nothing: dict[str, Any] = dict.fromkeys(RUN_STATES)
        trigger = said.trigger if isinstance(said, RetrainingTriggered) else None
        yield orm.RunRow, nothing | {"run_id": run_id, "task": said.task, "trigger": trigger, state: logged}  # type: ignore[attr-defined]


def _run_state(said: EventData) -> str | None:
    """The state that a run comes to by this event."""
    if isinstance(said, ModelEvaluated):
        return "passed" if said.passed else "refused"
    return _RUN_STATES.get(type(said))


def _without_signed_zero(number: float | None) -> float | None:
    """The number without the sign of a zero, which SQLite doesn't keep."""
    return None if number is None else number + 0.0


def event_key(source: str, id: str) -> str:
    """An event's identity in few characters: databases bound those of a key."""
    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, source), id))


def _dead_letter_row(record: ConsumedRecord) -> dict[str, Any]:
    said = {name: value.decode(errors="replace") for name, value in record.headers if name.startswith("rejected_")}
    try:
        partition, offset = int(said["rejected_partition"]), int(said["rejected_offset"])
        if not (0 <= partition <= _MAX_BIGINT and 0 <= offset <= _MAX_BIGINT):
            raise ValueError(f"no record stands at {partition}/{offset}")
        return {
            "rejected_id": str(uuid.UUID(said["rejected_id"])),
            "stage": said["rejected_stage"],
            "code": said["rejected_code"],
            "reason": said["rejected_reason"],
            "source_topic": said["rejected_topic"],
            "source_partition": partition,
            "source_offset": offset,
            "event_source": said["rejected_event_source"],
            "event_id": said["rejected_event_id"],
        }
    except KeyError as error:
        raise ValueError(f"the header {error} is missing") from None
