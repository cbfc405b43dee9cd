"""Validation and publication of feedback and its retractions, for the API and the pages."""

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection, Mapping

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from sqlalchemy import select

from app.catalog.catalog import Catalog
from app.catalog.orm import FeedbackRow
from app.errors import Unavailable
from app.events import topics
from app.events.cloudevents import Record, format_rfc3339
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.kafka.resilient_producer import ResilientProducer
from app.settings.namespace import qualify
from app.tasks import unknown_task
from models.base import Rejected, Task

SOURCE = qualify("hindsight/api")
MAX_FOUND = 100
"""Limit of the feedback events that are found by one id, which is unique only together with its source."""
MAX_REMEMBERED = 10_000
"""Limit of the published feedback events that are remembered until they are recorded."""


class FeedbackResponse(BaseModel):
    """Confirmation of a published event: of feedback, or of a retraction."""

    id: str
    prediction_id: str


async def publish_feedback(
    feedback: FeedbackGiven | FeedbackRetracted,
    tasks: Mapping[str, Task],
    producer: ResilientProducer,
    event_id: str | None = None,
    trace: str | None = None,
) -> FeedbackResponse:
    """Validate feedback or a retraction, publish it and wait for the broker's confirmation.

    Raises `Rejected`, `Unconfirmed` or MessageSizeTooLargeError.
    """
    event_id = event_id or str(uuid.uuid4())
    _, prediction_id = feedback.task_and_prediction
    await producer.publish(_to_record(_validate(feedback, tasks), event_id, trace))
    return FeedbackResponse(id=event_id, prediction_id=prediction_id)


class FeedbackIndex:
    """Finds feedback by its event id: what the catalog has, and what this process has just published."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._published: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def add(self, id: str, prediction_id: str, actor: str) -> None:
        """Remember feedback that was published; it is recorded a moment later."""
        self._published[id] = (prediction_id, actor)
        if len(self._published) > MAX_REMEMBERED:
            self._published.popitem(last=False)

    async def find(self, id: str) -> Collection[tuple[str, str]]:
        """Return the prediction and the actor of each feedback event with this id.

        Raises `Unavailable` if the catalog is needed and can't be read.
        """
        query = select(FeedbackRow.prediction_id, FeedbackRow.actor).where(FeedbackRow.id == id).limit(MAX_FOUND)
        published = [self._published[id]] if id in self._published else []
        try:
            rows = await asyncio.to_thread(self._catalog.query, lambda connection: connection.execute(query).all())
        except Unavailable:
            if not published:
                raise
            rows = []
        return {*published, *((row.prediction_id, row.actor) for row in rows)}


def _validate(
    feedback: FeedbackGiven | FeedbackRetracted, tasks: Mapping[str, Task]
) -> FeedbackGiven | FeedbackRetracted:
    name, _ = feedback.task_and_prediction
    if name not in tasks:
        raise Rejected("unknown_task", unknown_task(name, tasks).one_line)
    return feedback if isinstance(feedback, FeedbackRetracted) else feedback.validated(tasks[name].validate_correction)


def _to_record(feedback: FeedbackGiven | FeedbackRetracted, event_id: str, trace: str | None) -> Record:
    task, key = feedback.task_and_prediction
    now = format_rfc3339(time.time() * 1000)
    try:
        return feedback.to_record(
            topics.feedback(task), key.encode(), id=event_id, source=SOURCE, time=now, traceparent=trace
        )
    except PydanticSerializationError as error:
        # Half of a surrogate pair: JSON can express it, UTF-8 can't.
        raise Rejected("bad_text", f"the feedback can't be written as UTF-8: {error}") from None
