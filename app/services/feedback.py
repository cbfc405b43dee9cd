"""Validation and publication of feedback, for the API and the pages."""

import time
import uuid
from collections.abc import Mapping

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from app.events import topics
from app.events.cloudevents import Record, format_rfc3339
from app.events.types import FeedbackGiven
from app.kafka.resilient_producer import ResilientProducer
from models.base import Rejected, Task

SOURCE = "hindsight/api"


class FeedbackResponse(BaseModel):
    """Confirmation of published feedback."""

    id: str
    prediction_id: str


async def publish_feedback(
    feedback: FeedbackGiven,
    tasks: Mapping[str, Task],
    producer: ResilientProducer,
    event_id: str | None = None,
    trace: str | None = None,
) -> FeedbackResponse:
    """Validate feedback, publish it and wait for the broker's confirmation.

    Raises `Rejected`, `Unconfirmed` or MessageSizeTooLargeError.
    """
    event_id = event_id or str(uuid.uuid4())
    _, prediction_id = feedback.task_and_prediction
    await producer.publish(_to_record(_validate(feedback, tasks), event_id, trace))
    return FeedbackResponse(id=event_id, prediction_id=prediction_id)


def _validate(feedback: FeedbackGiven, tasks: Mapping[str, Task]) -> FeedbackGiven:
    name, _ = feedback.task_and_prediction
    if name not in tasks:
        raise Rejected("unknown_task", f"there is no task {name!r}; known: {', '.join(sorted(tasks))}")
    if feedback.correction is None:
        return feedback
    return feedback.model_copy(update={"correction": tasks[name].validate_correction(feedback.correction)})


def _to_record(feedback: FeedbackGiven, event_id: str, trace: str | None) -> Record:
    task, key = feedback.task_and_prediction
    now = format_rfc3339(time.time() * 1000)
    try:
        return feedback.to_record(
            topics.feedback(task), key.encode(), id=event_id, source=SOURCE, time=now, traceparent=trace
        )
    except PydanticSerializationError as error:
        # Half of a surrogate pair: JSON can express it, UTF-8 can't.
        raise Rejected("bad_text", f"the correction can't be written as UTF-8: {error}") from None
