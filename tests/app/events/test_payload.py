import uuid

import pytest

from app.client import RECORD_OVERHEAD_BYTES
from app.events.cloudevents import Origin, TopicId, complete_event
from app.events.payload import extract_payload, max_claimed_bytes
from app.events.types import PredictionRequested
from app.settings import Settings
from app.tasks import load_tasks
from models.base import Task
from tests.support.event_strategies import example_types, read_example
from tests.support.tasks import Letters

ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)


@pytest.mark.parametrize("type_name", example_types(PredictionRequested))
def test_the_payload_of_every_version_of_a_request_can_be_extracted(type_name: str) -> None:
    headers, value = read_example(type_name)
    event = complete_event(headers, value, ORIGIN, PredictionRequested.type)
    assert extract_payload(event, fetch=lambda uri, limit: b"", limit=100) == b"abc"


@pytest.mark.parametrize("task", [*load_tasks(Settings()).values(), Letters()], ids=lambda task: task.name)
def test_a_claim_check_may_name_more_than_a_message_holds_for_every_task(task: Task) -> None:
    settings = Settings()
    assert max_claimed_bytes(settings, task) >= settings.max_blob_bytes
    assert max_claimed_bytes(settings, task) > min(task.max_payload_bytes, settings.max_payload_bytes)


@pytest.mark.parametrize("name", ["ocr", "object_detection"])
def test_a_photograph_of_12_megapixels_fits_into_a_message(name: str) -> None:
    settings = Settings()
    task = load_tasks(settings)[name]
    assert min(task.max_payload_bytes, settings.max_payload_bytes - RECORD_OVERHEAD_BYTES) > 6_000_000
