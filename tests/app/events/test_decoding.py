import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.base import EventData
from app.events.cloudevents import CORE_ATTRIBUTES, Event, Origin, TopicId, complete_event, split_version
from app.events.decoding import EVENT_TYPES, decode
from models.base import Rejected
from tests.support.event_strategies import EXAMPLES, current_type, data_strategy, example_types, read_example

ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)


@pytest.mark.parametrize("event_type", [event_type for event_type in EVENT_TYPES if issubclass(event_type, EventData)])
@given(data=st.data())
def test_decoded_data_equals_the_encoded_data(event_type: type[EventData], data: st.DataObject) -> None:
    original = data.draw(data_strategy(event_type))
    attributes: dict[str, Any] = {"id": "1", "source": "app", "time": "2026-01-31T12:00:00Z"}
    record = original.to_record("topic", b"key", **attributes)
    event = complete_event(record.headers, record.value or b"", ORIGIN, event_type.type)
    assert decode(event.type, event.data) == original
    assert event == Event(type=event_type.type, data=event.data, content_type="application/json", **attributes)


@pytest.mark.parametrize(
    ("type_name", "code", "reason"),
    [
        ("com.example.scanned", "unknown_type", "'com.example.scanned' is not an event type"),
        ("hindsight.prediction.made", "unknown_type", "'hindsight.prediction.made' is not an event type"),
        ("hindsight.prediction.eaten.v1", "unknown_type", "not an event type that this Hindsight knows"),
        ("hindsight.features.extracted.v1", "not_json", "the data of 'hindsight.features.extracted.v1' is not JSON"),
        ("hindsight.prediction.made.v2", "newer_version", "upgrade Hindsight"),
        ("hindsight.prediction.made.v1", "bad_data", "prediction_id: Field required"),
    ],
)
def test_data_of_no_known_type_is_rejected_with_the_reason(type_name: str, code: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        decode(type_name, b"{}")
    assert caught.value.code == code


def test_every_version_of_every_type_has_an_example() -> None:
    """Add an example for each new version, and keep those of the versions before."""
    types = [split_version(event_type.type) for event_type in EVENT_TYPES]
    type_names = {f"{name}.v{version}" for name, current in types for version in range(1, current + 1)}
    assert {path.stem for path in EXAMPLES.iterdir()} == type_names


@pytest.mark.parametrize("type_name", example_types(EventData))
def test_data_of_every_version_can_be_decoded(type_name: str) -> None:
    headers, value = read_example(type_name)
    event = complete_event(headers, value, ORIGIN, current_type(type_name).type)
    decoded = decode(event.type, event.data)
    assert (event.type, type(decoded)) == (type_name, current_type(type_name))
    if type_name == decoded.type:  # decoding loses nothing
        assert json.loads(decoded.model_dump_json()) == json.loads(value)


@pytest.mark.parametrize("type_name", [event_type.type for event_type in EVENT_TYPES])
def test_a_type_declares_the_headers_that_it_adds_to_cloudevents(type_name: str) -> None:
    additional_headers = (
        {name for name, _ in read_example(type_name)[0]}
        - {f"ce_{name}" for name in CORE_ATTRIBUTES}
        - {"content-type", "traceparent"}
    )
    assert additional_headers == current_type(type_name).headers.keys()
