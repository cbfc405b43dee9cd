import json
from typing import Any

import pytest

from app import tasks
from app.events.cloudevents import Record, header_text
from app.events.types import FeedbackGiven
from app.services.feedback import publish_feedback
from app.settings import Settings
from models.base import Rejected

ID = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"


class RecordingProducer:
    """A producer that keeps the records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def publish(self, record: Record) -> None:
        self.records.append(record)


async def publish(config: Settings, **fields: Any) -> Record:
    """Publish feedback and return its record."""
    producer: Any = RecordingProducer()
    feedback = FeedbackGiven.model_validate({"actor": "ada", **fields})
    response = await publish_feedback(feedback, tasks.load_tasks(config), producer)
    [record] = producer.records
    assert isinstance(record, Record)
    assert response.id == header_text(record.headers, "ce_id")
    assert record.key == response.prediction_id.encode()
    return record


async def test_outputs_are_published_in_their_canonical_form(brokerless: Settings) -> None:
    record = await publish(brokerless, prediction_id=ID, correction={"text": " 123 "})
    assert json.loads(record.value or b"")["correction"] == {"text": "123"}
    record = await publish(brokerless, prediction_id=ID, preference={"output": {"text": " 123 "}, "better": False})
    assert json.loads(record.value or b"")["preference"] == {"output": {"text": "123"}, "better": False}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"prediction_id": ID.replace("ocr", "sonar"), "reward": 1}, "unknown_task"),
        ({"prediction_id": ID, "correction": {"text": "1€"}}, "unknown_symbol"),
        ({"prediction_id": ID, "preference": {"output": {"text": "1€"}, "better": True}}, "unknown_symbol"),
    ],
)
async def test_invalid_feedback_is_rejected(brokerless: Settings, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as rejection:
        await publish(brokerless, **fields)
    assert rejection.value.code == code
