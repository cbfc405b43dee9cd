"""The rows of the archive. `define_row` is their definition, one row at a time."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.eventlog.schema import MAX_INLINE_BYTES, SCHEMA, to_table
from app.events.cloudevents import ConsumedRecord, Headers, Origin, TopicId, complete_event, event_identity, header_text
from app.events.decoding import feedback_type
from app.events.types import (
    EventRejected,
    FeaturesExtracted,
    FeedbackGiven,
    FeedbackRetracted,
    OutcomeRecorded,
    PredictionMade,
    PredictionRequested,
)
from models.base import Rejected

RETRACTION = b'{"prediction_id": "ocr:1", "retracts": "7", "actor": "ada"}'
DEFAULT_TYPES = {
    "ocr.requests": PredictionRequested.type,
    "ocr.features": FeaturesExtracted.type,
    "ocr.predictions": PredictionMade.type,
    "ocr.shadow-predictions": PredictionMade.type,
    "ocr.outcomes": OutcomeRecorded.type,
}
TOPICS = (*DEFAULT_TYPES, "ocr.feedback", "lifecycle", "dead-letters")
LARGE = bytes(MAX_INLINE_BYTES + 1)

header_names = st.sampled_from(
    [
        *(f"ce_{name}" for name in ("id", "source", "type", "time", "subject", "specversion", "replay", "Bad-Name")),
        *(f"rejected_{name}" for name in ("id", "stage", "reason")),
        *("content-type", "traceparent"),
    ]
) | st.text(max_size=4)
times = st.datetimes(timezones=st.sampled_from([UTC, datetime.max.astimezone().tzinfo])).map(
    lambda time: time.isoformat().encode()
)
header_values = (
    st.binary(max_size=4)
    | st.text(max_size=4).map(str.encode)
    | times
    | st.sampled_from([b"1.0", b"", b"hindsight.prediction.made.v1", b"shop.order", b"x" * 600])
)
headers_strategy = st.lists(st.tuples(header_names, header_values), max_size=12).map(tuple)


@st.composite
def record_lists(draw: st.DrawFn) -> list[ConsumedRecord]:
    """Draw records of one topic, with valid and with broken headers, with and without a value."""
    topic = draw(st.sampled_from(TOPICS))
    values = st.none() | st.binary(max_size=8) | st.sampled_from([LARGE, RETRACTION])
    origins = st.builds(
        Origin,
        st.sampled_from([TopicId("c/t"), TopicId("c/u")]),
        st.just(topic),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**63 - 1),
        st.integers(-1, 4_102_444_800_000),  # to the year 2100
    )
    record = st.builds(ConsumedRecord, origins, st.none() | st.binary(max_size=4), values, headers_strategy)
    return draw(st.lists(record, max_size=5))


def put(data: bytes) -> str:
    return f"blob:{len(data)}"


def define_row(record: ConsumedRecord) -> dict[str, Any]:
    origin, value = record.origin, record.value
    logged = datetime.fromtimestamp(origin.timestamp_ms / 1000, UTC)
    kept_inline = origin.topic not in ("ocr.requests", "ocr.features", "dead-letters") or len(value or b"") <= 65_536
    return {
        "day": logged.date(),
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "logged": logged,
        "epoch": origin.topic_id,
        "key": record.key,
        "headers": [{"name": name, "value": header} for name, header in record.headers],
        "data": value if kept_inline else None,
        "data_uri": None if kept_inline else put(value or b""),
        **define_attributes(record, logged),
    }


def define_attributes(record: ConsumedRecord, logged: datetime) -> dict[str, Any]:
    topic, none = record.origin.topic, {"subject": None, "content_type": None, "traceparent": None}
    if topic == "dead-letters":
        rejection = {
            name[9:]: value.decode(errors="replace") for name, value in record.headers if name[:9] == "rejected_"
        }
        identity = {
            "id": rejection.pop("id", record.origin.id),
            "source": f"hindsight/{rejection.get('stage', 'unknown')}",
        }
        return none | identity | {"type": EventRejected.type, "time": logged, "extensions": list(rejection.items())}
    event_type = header_text(record.headers, "ce_type") or ""
    default_type = DEFAULT_TYPES.get(topic, "")
    if event_type.startswith("hindsight."):
        default_type = event_type
    elif topic == "ocr.feedback":
        default_type = feedback_type(event_type, record.value).type
    try:
        event = complete_event(record.headers, b"", record.origin, default_type)
    except Rejected:
        source, event_id = event_identity(record.headers, record.origin)
        return none | {"id": event_id, "source": source, "type": None, "time": logged, "extensions": []}
    return {name: getattr(event, name) for name in ("id", "source", "type", *none)} | {
        "time": datetime.fromisoformat(event.time).astimezone(UTC),
        "extensions": list(event.extensions.items()),
    }


@given(record_lists())
def test_a_row_holds_its_record_without_loss(records: list[ConsumedRecord]) -> None:
    table = to_table(records, put)
    table.validate(full=True)
    assert table.equals(pa.Table.from_pylist([define_row(record) for record in records], SCHEMA))


@pytest.mark.parametrize(
    ("value", "headers", "event_type"),
    [
        (b'{"prediction_id": "ocr:1", "reward": 1, "actor": "ada"}', (), FeedbackGiven.type),
        (RETRACTION, (), FeedbackRetracted.type),
        (RETRACTION, (("ce_type", FeedbackGiven.type.encode()),), FeedbackGiven.type),
        (RETRACTION, (("ce_type", b"shop.undone"),), "shop.undone"),
        (b'"retracts"', (), FeedbackGiven.type),
        (b"retracts", (), FeedbackGiven.type),
    ],
)
def test_feedback_without_a_type_has_that_of_its_content(value: bytes, headers: Headers, event_type: str) -> None:
    record = ConsumedRecord(Origin(TopicId("c/t"), "ocr.feedback", 0, 0, 0), None, value, headers)
    [row] = to_table([record], lambda data: "").to_pylist()
    assert row["type"] == event_type
