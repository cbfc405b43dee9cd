import pytest

from app.demo.timeline import describe_event
from app.events import lifecycle
from app.events.base import EventData
from app.events.decoding import decode
from app.events.lifecycle import DataErased
from tests.support.event_strategies import read_example

TASK_EVENT_TYPES = [event.type for event in lifecycle.LIFECYCLE_TYPES if event is not DataErased]


def example_event(event_type: str) -> EventData:
    return decode(event_type, read_example(event_type)[1])


@pytest.mark.parametrize("event_type", TASK_EVENT_TYPES)
def test_every_event_about_a_task_is_described_in_words(event_type: str) -> None:
    title, _ = describe_event(example_event(event_type))
    assert title
    assert "hindsight." not in title


def test_the_description_of_a_trigger_has_its_evidence() -> None:
    title, detail = describe_event(example_event("hindsight.retraining.triggered.v1"))
    assert title.startswith("trigger: ")
    assert detail


def test_the_ends_of_an_interval_are_rounded() -> None:
    triggered = example_event("hindsight.retraining.triggered.v1")
    event = triggered.model_copy(update={"evidence": {"interval": [0.820097, 0.913236]}})
    assert describe_event(event)[1] == "interval 0.8201 to 0.9132"
