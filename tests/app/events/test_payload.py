import uuid

import pytest

from app.events.cloudevents import Origin, TopicId, complete_event
from app.events.payload import extract_payload
from app.events.types import PredictionRequested
from tests.support.event_strategies import example_types, read_example

ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)


@pytest.mark.parametrize("type_name", example_types(PredictionRequested))
def test_the_payload_of_every_version_of_a_request_can_be_extracted(type_name: str) -> None:
    headers, value = read_example(type_name)
    event = complete_event(headers, value, ORIGIN, PredictionRequested.type)
    assert extract_payload(event, fetch=lambda uri, limit: b"", limit=100) == b"abc"
