import pytest

from app.eventlog.schema import to_table
from app.events.cloudevents import ConsumedRecord, Headers, Origin, TopicId
from app.events.types import FeedbackGiven, FeedbackRetracted

RETRACTION = b'{"prediction_id": "ocr:1", "retracts": "7", "actor": "ada"}'


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
