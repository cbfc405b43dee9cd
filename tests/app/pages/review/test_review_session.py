"""Undo in a review session, without its page."""

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
