"""Repartitioning of predictions and feedback by prediction id, so that all events of a prediction are in one partition.

Invalid feedback becomes a dead letter at once: the other events of its prediction need not wait. Temporary failures (of
the broker or the database) are retried by the delivery guard while all later records wait, so that the events of a
prediction keep their order.
"""

from collections.abc import Sequence
from typing import TypeVar

from app.events import topics
from app.events.answers import build_dead_letter
from app.events.base import EventData
from app.events.cloudevents import (
    ConsumedRecord,
    Origin,
    Record,
    TopicId,
    complete_event,
    event_identity,
    header_text,
    is_marked,
    split_version,
)
from app.events.decoding import feedback_type
from app.events.types import Failure, FeedbackGiven, FeedbackRetracted, PredictionFailed, PredictionMade
from app.monitoring import metrics
from app.streams.delivery import HandlerResult
from models.base import Rejected, Task

PREDICTIONS_STAGE = "predictions"
FEEDBACK_STAGE = "feedback"
OUTCOMES_STAGE = "outcomes"
"""The stages of dead letters that can't be joined."""


FEEDBACK_FIELDS = ("correction", "reward", "accepted", "preference", "retracts")
"""The content of feedback and its retractions."""

EventT = TypeVar("EventT", bound=EventData)
_FAILED_PREFIX = f"{split_version(PredictionFailed.type)[0]}."


class Repartitioner:
    """Handlers of the predictions and the feedback of one task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        metrics.init_counters(task.name, PREDICTIONS_STAGE, FEEDBACK_STAGE, OUTCOMES_STAGE)
        for field in FEEDBACK_FIELDS:
            metrics.FEEDBACK.labels(task.name, field)

    async def repartition_predictions(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Return each served prediction, and each failed prediction of a version, under the prediction's id."""
        return [() if is_marked(record.headers) else self._prediction(record) for record in batch]

    async def repartition_feedback(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Return each feedback event and retraction under its prediction's id; the prediction may come later."""
        return [() if is_marked(record.headers) else self._feedback(record) for record in batch]

    def _prediction(self, record: ConsumedRecord) -> HandlerResult:
        try:
            if (header_text(record.headers, "ce_type") or "").startswith(_FAILED_PREFIX):
                failed = _decode(record, PredictionFailed)
                by_version = failed.model is not None and failed.role is not None
                return [repartition(record, failed.task, failed.prediction_id)] if by_version else ()
            prediction = _decode(record, PredictionMade)
            if prediction.task != self._task.name:
                raise Rejected("wrong_task", f"this is a prediction of {prediction.task!r}, not of {self._task.name!r}")
            return (
                [] if prediction.role == "shadow" else [repartition(record, self._task.name, prediction.prediction_id)]
            )
        except Rejected as error:
            return error

    def _feedback(self, record: ConsumedRecord) -> HandlerResult:
        try:
            type_header = header_text(record.headers, "ce_type")
            feedback: FeedbackGiven | FeedbackRetracted = _decode(record, feedback_type(type_header, record.value))
            task, prediction_id = feedback.task_and_prediction
            if task != self._task.name:
                raise Rejected("wrong_task", f"this is feedback for {task!r}, not for {self._task.name!r}")
            if isinstance(feedback, FeedbackGiven):
                feedback.validated(self._task.validate_correction)
            for field in FEEDBACK_FIELDS:
                if getattr(feedback, field, None) is not None:
                    metrics.FEEDBACK.labels(task, field).inc()
            return [repartition(record, task, prediction_id)]
        except Rejected as error:
            return error

    def reject(self, record: ConsumedRecord, failure: Failure) -> Sequence[Record]:
        """Return the dead letter; nobody waits for an answer to feedback."""
        metrics.count_failure(self._task.name, failure.stage, failure.code)
        original = Record(record.origin.topic, record.key, record.value, record.headers)
        event = event_identity(record.headers, record.origin)
        return [build_dead_letter(original, record.origin, failure, event)[1]]


def repartition(record: ConsumedRecord, task: str, prediction_id: str) -> Record:
    """Return the record under the prediction's id, with its key and its origin in `joined_*` headers at the end."""
    origin = record.origin
    values = (origin.topic_id, origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
    headers = tuple((name, str(value).encode()) for name, value in zip(_ORIGIN_HEADERS, values, strict=True))
    original_key = (_KEY_HEADER, record.key or b"")
    return Record(topics.joins(task), prediction_id.encode(), record.value, (*record.headers, original_key, *headers))


def restore_original(record: ConsumedRecord) -> ConsumedRecord | None:
    """Return the record that was repartitioned, as consumed; None for a reward timeout. Raises `Rejected`."""
    if not record.headers and record.value is None:
        return None
    last_headers = record.headers[-len(_ORIGIN_HEADERS) :]
    if tuple([name for name, _ in last_headers]) != _ORIGIN_HEADERS:
        raise Rejected("bad_join", f"the headers don't end with {', '.join(_ORIGIN_HEADERS)}")
    topic_id, topic, partition, offset, logged = [value.decode(errors="replace") for _, value in last_headers]
    try:
        origin = Origin(TopicId(topic_id), topic, int(partition), int(offset), int(logged))
    except ValueError as error:
        raise Rejected("bad_join", str(error)) from error
    key, headers = None, record.headers[: -len(_ORIGIN_HEADERS)]
    if headers and headers[-1][0] == _KEY_HEADER:  # earlier releases did not keep the key
        key, headers = headers[-1][1] or None, headers[:-1]
    return ConsumedRecord(origin, key, record.value, headers)


_KEY_HEADER = "joined_key"
_ORIGIN_HEADERS = ("joined_epoch", "joined_topic", "joined_partition", "joined_offset", "joined_logged")


def build_reward_timeout(task: str, prediction_id: str) -> Record:
    """Return a record that has a prediction's outcome recomputed because its reward window has ended."""
    return Record(topics.joins(task), prediction_id.encode(), None, ())


def _decode(record: ConsumedRecord, event_type: type[EventT]) -> EventT:
    event = complete_event(record.headers, record.value or b"", record.origin, event_type.type)
    is_custom = not event.type.startswith("hindsight.")  # feedback with an application's event type
    return event_type.decode(event.data, split_version(event_type.type if is_custom else event.type)[1])
