"""The columns of the archive: a Kafka record as a row, without loss."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from app.events.cloudevents import ConsumedRecord, Event, complete_event, event_identity, header_text
from app.events.decoding import feedback_type
from app.events.topics import DEAD_LETTERS
from app.events.types import (
    EventRejected,
    FeaturesExtracted,
    OutcomeRecorded,
    PredictionMade,
    PredictionRequested,
)
from models.base import Rejected

MAX_INLINE_BYTES = 64 * 1024
"""Larger payloads are stored once in blob storage, with their claim check in the row; JSON events are always inline."""

SCHEMA = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("logged", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("type", pa.string()),
        pa.field("time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("subject", pa.string()),
        pa.field("content_type", pa.string()),
        pa.field("traceparent", pa.string()),
        pa.field("extensions", pa.map_(pa.string(), pa.string())),
        pa.field("epoch", pa.string(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
        pa.field("data", pa.binary()),
        pa.field("data_uri", pa.string()),
    ]
)
"""`day` partitions the table by `logged`, the log append time; `type` is null if the headers break CloudEvents."""

_BLOB_TOPICS = {"requests", "features", DEAD_LETTERS}
_DEFAULT_TYPES = {
    "requests": PredictionRequested.type,
    "features": FeaturesExtracted.type,
    "predictions": PredictionMade.type,
    "shadow-predictions": PredictionMade.type,
    "outcomes": OutcomeRecorded.type,
}


def to_table(records: Sequence[ConsumedRecord], put: Callable[[bytes], str]) -> pa.Table:
    """Return the records as rows of the archive; `put` stores large data in blob storage and returns its URI."""
    return pa.Table.from_pylist([_to_row(record, put) for record in records], SCHEMA)


def _to_row(record: ConsumedRecord, put: Callable[[bytes], str]) -> dict[str, Any]:
    origin, value = record.origin, record.value
    logged = datetime.fromtimestamp(origin.timestamp_ms / 1000, UTC)
    is_large = value is not None and len(value) > MAX_INLINE_BYTES and _topic_kind(origin.topic) in _BLOB_TOPICS
    return {
        "day": logged.date(),
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "logged": logged,
        "epoch": origin.topic_id,
        "key": record.key,
        "headers": [{"name": name, "value": header} for name, header in record.headers],
        "data": None if is_large else value,
        "data_uri": put(value) if is_large and value is not None else None,
        **_attributes(record, logged),
    }


def _topic_kind(topic: str) -> str:
    return topic.rpartition(".")[2]


def _attributes(record: ConsumedRecord, logged: datetime) -> dict[str, Any]:
    if record.origin.topic == DEAD_LETTERS:
        return _dead_letter_attributes(record, logged)
    event_type, kind = header_text(record.headers, "ce_type") or "", _topic_kind(record.origin.topic)
    if event_type.startswith("hindsight."):
        default_type = event_type
    elif kind == "feedback":
        default_type = feedback_type(event_type, record.value).type
    else:
        default_type = _DEFAULT_TYPES.get(kind, "")
    try:
        return _event_attributes(complete_event(record.headers, b"", record.origin, default_type))
    except (Rejected, OverflowError):  # OverflowError: the time is out of range in UTC
        source, event_id = event_identity(record.headers, record.origin)
        return {"id": event_id, "source": source, "type": None, "time": logged, "extensions": []}


def _event_attributes(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": datetime.fromisoformat(event.time).astimezone(UTC),
        "subject": event.subject,
        "content_type": event.content_type,
        "traceparent": event.traceparent,
        "extensions": list(event.extensions.items()),
    }


def _dead_letter_attributes(record: ConsumedRecord, logged: datetime) -> dict[str, Any]:
    """Return the attributes of a dead letter; those of the rejected event are in `headers`."""
    rejection = {
        name.removeprefix("rejected_"): value.decode(errors="replace")
        for name, value in record.headers
        if name.startswith("rejected_")
    }
    return {
        "id": rejection.pop("id", record.origin.id),
        "source": f"hindsight/{rejection.get('stage', 'unknown')}",
        "type": EventRejected.type,
        "time": logged,
        "extensions": list(rejection.items()),
    }
