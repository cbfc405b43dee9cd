"""The columns of the archive: a Kafka record as a row, without loss."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from app.events.cloudevents import ConsumedRecord, complete_event, event_identity, header_text
from app.events.decoding import feedback_type
from app.events.topics import DEAD_LETTERS
from app.events.types import (
    EventRejected,
    FeaturesExtracted,
    OutcomeRecorded,
    PredictionMade,
    PredictionRequested,
)
from app.settings.namespace import qualify
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
_MS_PER_DAY = 86_400_000


def to_table(records: Sequence[ConsumedRecord], put: Callable[[bytes], str]) -> pa.Table:
    """Return the records as rows of the archive; `put` stores large data in blob storage and returns its URI.

    Each column is made at once: a dict for each row, and for each of its headers, would take several times as long.
    """
    if not records:
        return SCHEMA.empty_table()
    origins = [record.origin for record in records]
    logged_ms = np.array([origin.timestamp_ms for origin in origins], np.int64)
    uris = [put(record.value) if record.value is not None and _is_large(record) else None for record in records]
    columns: dict[str, Any] = dict(zip(_Attributes._fields, zip(*map(_attributes, records), strict=True), strict=True))
    columns |= {
        "day": (logged_ms // _MS_PER_DAY).astype("datetime64[D]"),
        "topic": [origin.topic for origin in origins],
        "partition": [origin.partition for origin in origins],
        "offset": [origin.offset for origin in origins],
        "logged": logged_ms.astype("datetime64[ms]"),
        "extensions": _pairs_column("extensions", [extensions.items() for extensions in columns["extensions"]]),
        "epoch": [origin.topic_id for origin in origins],
        "key": [record.key for record in records],
        "headers": _pairs_column("headers", [record.headers for record in records]),
        "data": [record.value if uri is None else None for record, uri in zip(records, uris, strict=True)],
        "data_uri": uris,
    }
    return pa.Table.from_pydict(columns, SCHEMA)


class _Attributes(NamedTuple):
    """The columns of an event's attributes."""

    id: str
    source: str
    type: str | None
    time: datetime
    extensions: Mapping[str, str]
    subject: str | None = None
    content_type: str | None = None
    traceparent: str | None = None


def _pairs_column(name: str, rows: Sequence[Collection[tuple[str, Any]]]) -> pa.Array:
    """Return a column of maps, or of lists of structs, from the pairs of each row."""
    column_type = SCHEMA.field(name).type
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    pairs = list(chain.from_iterable(rows))
    names = pa.array([pair[0] for pair in pairs], pa.string())
    if pa.types.is_map(column_type):
        return pa.MapArray.from_arrays(offsets, names, pa.array([pair[1] for pair in pairs], column_type.item_type))
    values = pa.array([pair[1] for pair in pairs], pa.binary())
    structs = pa.StructArray.from_arrays([names, values], fields=list(column_type.value_type))
    return pa.ListArray.from_arrays(offsets, structs)


def _is_large(record: ConsumedRecord) -> bool:
    is_large = record.value is not None and len(record.value) > MAX_INLINE_BYTES
    return is_large and _topic_kind(record.origin.topic) in _BLOB_TOPICS


def _topic_kind(topic: str) -> str:
    return topic.rpartition(".")[2]


def _attributes(record: ConsumedRecord) -> _Attributes:
    if record.origin.topic == DEAD_LETTERS:
        return _dead_letter_attributes(record)
    event_type, kind = header_text(record.headers, "ce_type") or "", _topic_kind(record.origin.topic)
    if event_type.startswith("hindsight."):
        default_type = event_type
    elif kind == "feedback":
        default_type = feedback_type(event_type, record.value).type
    else:
        default_type = _DEFAULT_TYPES.get(kind, "")
    try:
        event = complete_event(record.headers, b"", record.origin, default_type)
        time = datetime.fromisoformat(event.time).astimezone(UTC)
    except (Rejected, OverflowError):  # OverflowError: the time is out of range in UTC
        source, event_id = event_identity(record.headers, record.origin)
        return _Attributes(event_id, source, None, _logged(record), {})
    texts = event.subject, event.content_type, event.traceparent
    return _Attributes(event.id, event.source, event.type, time, event.extensions, *texts)


def _dead_letter_attributes(record: ConsumedRecord) -> _Attributes:
    """Return the attributes of a dead letter; those of the rejected event are in `headers`."""
    rejection = {
        name.removeprefix("rejected_"): value.decode(errors="replace")
        for name, value in record.headers
        if name.startswith("rejected_")
    }
    event_id, source = rejection.pop("id", record.origin.id), qualify(f"hindsight/{rejection.get('stage', 'unknown')}")
    return _Attributes(event_id, source, EventRejected.type, _logged(record), rejection)


def _logged(record: ConsumedRecord) -> datetime:
    return datetime.fromtimestamp(record.origin.timestamp_ms / 1000, UTC)
