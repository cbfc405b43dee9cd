import pytest

from app.demo.timeline import describe_event
from app.events import lifecycle
from app.events.base import EventData
from app.events.decoding import decode
from app.events.lifecycle import DataErased
from tests.support.event_strategies import read_example

OF_TASKS = [kind.type for kind in lifecycle.LIFECYCLE_TYPES if kind is not DataErased]


def said(kind: str) -> EventData:
    return decode(kind, read_example(kind)[1])


@pytest.mark.parametrize("kind", OF_TASKS)
def test_whatever_is_said_of_a_task_is_told_in_words(kind: str) -> None:
    title, _ = describe_event(said(kind))
    assert title
    assert "hindsight." not in title


def test_a_trigger_is_told_with_its_evidence() -> None:
    title, detail = describe_event(said("hindsight.retraining.triggered.v1"))
    assert title.startswith("trigger: ")
    assert detail


def test_the_ends_of_an_interval_are_told_in_short() -> None:
    told = said("hindsight.retraining.triggered.v1").model_copy(update={"evidence": {"interval": [0.820097, 0.913236]}})
    assert describe_event(told)[1] == "interval 0.8201 to 0.9132"
