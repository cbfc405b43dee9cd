"""Projection of records to rows: the tables in which a record has a row, and its columns."""

import hashlib
import json
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from app.catalog import orm
from app.catalog.orm import RUN_STATES, Base
from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import ConsumedRecord, Event, complete_event, header_text, is_marked, split_version
from app.events.decoding import decode, feedback_type
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import DatasetBuilt, ModelEvaluated, ModelRegistered, ModelTrained, RouteChanged
from app.events.topics import DEAD_LETTERS
from app.events.types import (
    EventRejected,
    FeedbackGiven,
    FeedbackRetracted,
    OutcomeRecorded,
    PredictionFailed,
    PredictionMade,
)
from models.base import Rejected

TableRow = tuple[type[Base], dict[str, Any]]

UNREADABLE_ERRORS = (Rejected, ValueError, OverflowError)
"""The errors that `project_record` raises for an unreadable record."""

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
    "outcomes": (OutcomeRecorded,),
}
_NAMED_TYPES: tuple[type[EventData], ...] = (*_PREDICTION_TYPES, OutcomeRecorded, *_LIFECYCLE_TYPES)
_TYPES_BY_NAME = {split_version(event_type.type)[0]: event_type for event_type in _NAMED_TYPES}


def project_record(record: ConsumedRecord) -> Iterator[TableRow]:
    """Yield the rows that this record alone makes. Raises one of `UNREADABLE_ERRORS`."""
    if record.origin.topic == DEAD_LETTERS:
        yield orm.DeadLetterRow, _dead_letter_row(record) | _log_position(record, EventRejected.type)
        return
    event_type = _event_type(record)
    # Republished history has its rows already; partial answers of a session are not judged.
    if event_type is None or is_marked(record.headers):
        return
    event = complete_event(record.headers, record.value or b"", record.origin, event_type.type)
    # An application may publish feedback with its own event type: then the topic decides.
    type_name = event.type if event.type.startswith("hindsight.") else event_type.type
    event_data = decode(type_name, event.data)
    # Databases don't accept NaN and infinity as JSON.
    data = json.loads(event.data, parse_float=_finite, parse_constant=_finite)
    logged_columns = _log_position(record, type_name) | {"data": data}
    is_lifecycle = event_type in _LIFECYCLE_TYPES
    rows = _lifecycle_rows(event_data, event) if is_lifecycle else _task_rows(event_data, event, record.key)
    for table, row in rows:
        yield (
            table,
            row | logged_columns if "data" in table.__table__.columns else row | _log_position(record, type_name),
        )
    if is_lifecycle:
        yield from _run_rows(event_data, logged_columns["logged"])


def _finite(number: str) -> float:
    """Return a number of JSON. Raises ValueError for NaN and infinity."""
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is not a finite number")
    return value


def _event_type(record: ConsumedRecord) -> type[EventData] | None:
    """Return the record's event type; None if the record has no row."""
    kind, type_header = record.origin.topic.rpartition(".")[2], header_text(record.headers, "ce_type") or ""
    if kind == "feedback":
        return feedback_type(type_header, record.value)
    topic_types, type_name = _TYPES_BY_TOPIC.get(kind), type_header.rpartition(".v")[0]
    named_types = _TYPES_BY_NAME.get(type_name)
    if named_types in (topic_types or _LIFECYCLE_TYPES):
        return named_types
    return topic_types[0] if topic_types else None


def _log_position(record: ConsumedRecord, type_name: str) -> dict[str, Any]:
    origin = record.origin
    return {
        "type": type_name,
        "logged": datetime.fromtimestamp(origin.timestamp_ms / 1000, UTC),
        "partition": origin.partition,
        "offset": origin.offset,
        "topic": origin.topic,
        "epoch": origin.topic_id,
    }


def _task_rows(event_data: EventData, event: Event, key: bytes | None) -> Iterator[TableRow]:
    time = datetime.fromisoformat(event.time).astimezone(UTC)
    match event_data:
        case PredictionMade():
            yield (
                orm.PredictionRow,
                {
                    "prediction_id": event_data.prediction_id,
                    "task": event_data.task,
                    "role": event_data.role,
                    "version": event_data.model.version,
                    "request_source": event.extensions.get(
                        "requestsource", f"kafka:{topics.requests(event_data.task)}"
                    ),
                    "subject": event.subject,
                    "key_digest": hashlib.sha256(key).hexdigest()[:16] if key else None,
                    "time": time,
                    "waiting": event_data.role != "shadow" and event_data.memory is None,
                },
            )
        case PredictionFailed() if event_data.model is not None and event_data.role is not None:
            columns = event_data.model_dump(include={"prediction_id", "task", "role"})
            yield orm.FailureRow, columns | {"version": event_data.model.version, "time": time}
        case FeedbackGiven():
            task, prediction_id = event_data.task_and_prediction
            columns = {"task": task, "prediction_id": prediction_id, "actor": event_data.actor, "time": time}
            yield (
                orm.FeedbackRow,
                columns | {"key": event_key(event.source, event.id), "source": event.source, "id": event.id},
            )
        case FeedbackRetracted():
            yield (
                orm.RetractionRow,
                {
                    "key": event_key(event.source, event.id),
                    "prediction_id": event_data.task_and_prediction[1],
                    "actor": event_data.actor,
                    "retracts": event_data.retracts,
                    "retracts_source": event_data.retracts_source,
                    "time": time,
                },
            )
        case OutcomeRecorded():
            columns = event_data.model_dump(include={"prediction_id", "task"})
            scores = {name: _without_signed_zero(getattr(event_data, name)) for name in ("score", "reward")}
            yield orm.OutcomeRow, columns | scores | {"version": event_data.model.version, "time": time}


def _lifecycle_rows(event_data: EventData, event: Event) -> Iterator[TableRow]:
    match event_data:
        case DatasetBuilt():
            identity = {"content_hash": event_data.content_hash, "location": event_data.location}
            yield orm.DatasetRow, identity | {"task": event_data.task, "run_id": event_data.run_id}
        case ModelTrained():
            yield orm.CandidateRow, _version_columns(event_data)
        case ModelEvaluated():
            yield (
                orm.EvaluationRow,
                _version_columns(event_data) | {"key": event_key(event.source, event.id), "passed": event_data.passed},
            )
        case ModelRegistered():
            version = _version_columns(event_data)
            yield orm.VersionRow, version
            yield orm.ModelRow, version
        case RouteChanged():
            route = {
                "task": event_data.task,
                "action": event_data.action,
                "champion": event_data.champion,
                "canary": event_data.canary,
            }
            yield orm.RouteChangeRow, route | {"key": event_key(event.source, event.id)}


def _version_columns(event_data: ModelTrained | ModelEvaluated | ModelRegistered) -> dict[str, Any]:
    return {
        "task": event_data.task,
        "name": event_data.model.name,
        "version": event_data.model.version,
        "run_id": event_data.run_id,
    }


def _run_rows(event_data: EventData, logged: datetime) -> Iterator[TableRow]:
    run_id, state = getattr(event_data, "run_id", None), _run_state(event_data)
    if run_id is not None and state is not None:
        no_states: dict[str, Any] = dict.fromkeys(RUN_STATES)
        trigger = event_data.trigger if isinstance(event_data, RetrainingTriggered) else None
        yield orm.RunRow, no_states | {"run_id": run_id, "task": event_data.task, "trigger": trigger, state: logged}  # type: ignore[attr-defined]


def _run_state(event_data: EventData) -> str | None:
    """Return the state that a run reaches by this event."""
    if isinstance(event_data, ModelEvaluated):
        return "passed" if event_data.passed else "refused"
    return _RUN_STATES.get(type(event_data))


def _without_signed_zero(number: float | None) -> float | None:
    """Return the number without the sign of a zero, which SQLite doesn't keep."""
    return None if number is None else number + 0.0


def event_key(source: str, id: str) -> str:
    """Return a short key of an event's identity, because databases limit the length of keys."""
    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, source), id))


def _dead_letter_row(record: ConsumedRecord) -> dict[str, Any]:
    headers = {name: value.decode(errors="replace") for name, value in record.headers if name.startswith("rejected_")}
    try:
        partition, offset = int(headers["rejected_partition"]), int(headers["rejected_offset"])
        if not (0 <= partition <= _MAX_BIGINT and 0 <= offset <= _MAX_BIGINT):
            raise ValueError(f"{partition}/{offset} is not a record's position")
        return {
            "rejected_id": str(uuid.UUID(headers["rejected_id"])),
            "stage": headers["rejected_stage"],
            "code": headers["rejected_code"],
            "reason": headers["rejected_reason"],
            "source_topic": headers["rejected_topic"],
            "source_partition": partition,
            "source_offset": offset,
            "event_source": headers["rejected_event_source"],
            "event_id": headers["rejected_event_id"],
        }
    except KeyError as error:
        raise ValueError(f"the header {error} is missing") from None
