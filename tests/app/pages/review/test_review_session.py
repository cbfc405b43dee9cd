"""Feedback and undo in a review session, without its page."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import Unconfirmed
from app.events.cloudevents import Record, header_text
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.pages.review.claims import Claims
from app.pages.review.review_session import ReviewItem, ReviewSession
from app.settings import Settings
from tests.support.tasks import Letters

ITEMS = [ReviewItem(prediction_id("letters", "app", str(number)), {}, "audit", None, "") for number in range(3)]


class Producer:
    """A producer that keeps the records, and may fail."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.fails = False

    async def publish(self, record: Record) -> None:
        if self.fails:
            raise Unconfirmed("the broker is away")
        self.records.append(record)


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def session(tmp_path: Path, producer: Producer) -> ReviewSession:
    services: Any = SimpleNamespace(tasks={"letters": Letters()}, producer=producer)
    return ReviewSession(services, Claims(Settings(home=tmp_path).catalog_url), "letters", "audit")


async def test_undo_takes_back_what_was_accepted_at_once_one_by_one(session: ReviewSession, producer: Producer) -> None:
    await session.accept(ITEMS, "ada")
    accepted = list(producer.records)
    for item, record in zip(reversed(ITEMS), reversed(accepted), strict=True):
        assert await session.undo() is not None
        assert session.item == item
        retraction = FeedbackRetracted.model_validate_json(producer.records[-1].value or b"")
        assert (retraction.prediction_id, retraction.actor) == (item.prediction_id, "ada")
        assert retraction.retracts == header_text(record.headers, "ce_id")
    assert await session.undo() is None
    assert session.submitted == []


async def test_an_unconfirmed_undo_can_be_repeated(session: ReviewSession, producer: Producer) -> None:
    await session.accept(ITEMS[:1], "ada")
    producer.fails = True
    with pytest.raises(Unconfirmed):
        await session.undo()
    producer.fails = False
    assert await session.undo() is not None


async def test_after_an_undo_other_feedback_can_be_given(session: ReviewSession, producer: Producer) -> None:
    await session.accept(ITEMS[:1], "ada")
    await session.undo()
    await session.submit("ada", reward=0.5)
    feedback = FeedbackGiven.model_validate_json(producer.records[-1].value or b"")
    assert (feedback.prediction_id, feedback.reward) == (ITEMS[0].prediction_id, 0.5)


@pytest.mark.parametrize(("queue", "text", "blind"), [("audit", "seen", True), ("uncertain", "seen", False)])
async def test_feedback_names_its_queue_and_whether_it_is_blind(
    session: ReviewSession, producer: Producer, monkeypatch: pytest.MonkeyPatch, queue: Any, text: str, blind: bool
) -> None:
    item = replace(ITEMS[0], prediction={"output": {"text": text}, "feedback": []})

    async def fetch() -> ReviewItem:
        return item

    monkeypatch.setattr(session, "_fetch_next", fetch)
    session.queue = queue
    await session.next()
    await session.submit("ada", correction={"text": "own"})
    await session.undo()
    await session.submit("ada", accepted=True)
    given = [FeedbackGiven.model_validate_json(producer.records[index].value or b"") for index in (0, 2)]
    assert [(one.queue, one.blind) for one in given] == [(queue, blind), (queue, False)]


async def test_feedback_on_a_prediction_that_was_looked_up_belongs_to_no_queue(
    session: ReviewSession, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(prediction_id: str) -> ReviewItem:
        return ITEMS[0]

    monkeypatch.setattr(session, "_load_item", load)
    await session.open(ITEMS[0].prediction_id)
    await session.submit("ada", accepted=True)
    feedback = FeedbackGiven.model_validate_json(producer.records[-1].value or b"")
    assert (feedback.queue, feedback.blind) == (None, None)


@pytest.mark.parametrize(
    ("output", "empty"),
    [
        ({"text": "4711"}, {"text": ""}),
        ({"boxes": [{"label": "cat", "box": [0, 0, 1, 1]}]}, {"boxes": []}),
        ({"action": "a", "probabilities": {"a": 1.0}}, {"action": ""}),
    ],
    ids=str,
)
def test_a_blank_item_tells_nothing_of_its_output(output: dict[str, Any], empty: dict[str, Any]) -> None:
    item = replace(ITEMS[0], prediction={"output": output, "feedback": [{"actor": "ada"}]})
    assert item.blank is not None
    assert (item.blank.output, item.blank.feedback) == (empty, [])
    assert replace(item, prediction={"output": {"weight": 7.0}, "feedback": []}).blank is None
