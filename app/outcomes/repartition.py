"""Repartitioning: predictions and feedback by prediction id, so that all of one prediction is in one partition.

Feedback that can't be used is a dead letter, for good: nothing of its prediction need wait behind it. What may pass
(a broker or a database that is away) is waited for in the guard, and everything behind waits too: so the events of
one prediction keep their order.
"""

import dataclasses
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
    split_version,
)
from app.events.types import Failure, FeedbackGiven, PredictionFailed, PredictionMade
from app.monitoring import metrics
from app.streams.delivery import HandlerResult
from models.base import Rejected, Task

PREDICTIONS_STAGE = "predictions"
FEEDBACK_STAGE = "feedback"
OUTCOMES_STAGE = "outcomes"
"""The stages under which what can't be joined is found in `dead-letters`."""


FEEDBACK_FIELDS = ("correction", "reward", "accepted")
"""What feedback may say."""

EventT = TypeVar("EventT", bound=EventData)
_FAILED_PREFIX = f"{split_version(PredictionFailed.type)[0]}."


class Repartitioner:
    """Handles the predictions and the feedback of one task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        metrics.init_counters(task.name, PREDICTIONS_STAGE, FEEDBACK_STAGE, OUTCOMES_STAGE)
        for kind in FEEDBACK_FIELDS:
            metrics.FEEDBACK.labels(task.name, kind)

    async def repartition_predictions(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Each served prediction, under its id, and what a version failed to say, which counts against it."""
        return [() if _is_excluded(incoming) else self._prediction(incoming) for incoming in batch]

    async def repartition_feedback(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Each piece of feedback, under the id of its prediction, which may not have been made yet."""
        return [() if _is_excluded(incoming) else self._feedback(incoming) for incoming in batch]

    def _prediction(self, incoming: ConsumedRecord) -> HandlerResult:
        try:
            if (header_text(incoming.headers, "ce_type") or "").startswith(_FAILED_PREFIX):
                failed = _decode(incoming, PredictionFailed)
                asked = failed.model is not None and failed.role is not None
                return [repartition(incoming, failed.task, failed.prediction_id)] if asked else ()
            made = _decode(incoming, PredictionMade)
            if made.task != self._task.name:
                raise Rejected("wrong_task", f"this is a prediction of {made.task!r}, not of {self._task.name!r}")
            return [] if made.role == "shadow" else [repartition(incoming, self._task.name, made.prediction_id)]
        except Rejected as error:
            return error

    def _feedback(self, incoming: ConsumedRecord) -> HandlerResult:
        try:
            given = _decode(incoming, FeedbackGiven)
            task, prediction = given.task_and_prediction
            if task != self._task.name:
                raise Rejected("wrong_task", f"this is feedback for {task!r}, not for {self._task.name!r}")
            if given.correction is not None:
                self._task.validate_correction(given.correction)
            for kind in FEEDBACK_FIELDS:
                if getattr(given, kind) is not None:
                    metrics.FEEDBACK.labels(task, kind).inc()
            return [repartition(incoming, task, prediction)]
        except Rejected as error:
            return error

    def reject(self, incoming: ConsumedRecord, failure: Failure) -> Sequence[Record]:
        """The dead letter: nobody waits for an answer to feedback."""
        metrics.count_failure(self._task.name, failure.stage, failure.code)
        original = Record(incoming.origin.topic, incoming.key, incoming.value, incoming.headers)
        event = event_identity(incoming.headers, incoming.origin)
        return [build_dead_letter(original, incoming.origin, failure, event)[1]]


def repartition(incoming: ConsumedRecord, task: str, prediction_id: str) -> Record:
    """The record under the prediction's id, with where it came from in `joined_*` headers after its own."""
    origin = incoming.origin
    places = (origin.topic_id, origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
    headers = tuple((name, str(value).encode()) for name, value in zip(_ORIGIN_HEADERS, places, strict=True))
    return Record(topics.joins(task), prediction_id.encode(), incoming.value, (*incoming.headers, *headers))


def restore_original(incoming: ConsumedRecord) -> ConsumedRecord | None:
    """The record that was repartitioned, as it was consumed; None for a `reminder`. Raises `Rejected`."""
    if not incoming.headers and incoming.value is None:
        return None
    headers = incoming.headers[-len(_ORIGIN_HEADERS) :]
    if tuple(name for name, _ in headers) != _ORIGIN_HEADERS:
        raise Rejected("bad_join", f"the headers don't end with {', '.join(_ORIGIN_HEADERS)}")
    epoch, topic, partition, offset, logged = (header_text(headers, name) or "" for name in _ORIGIN_HEADERS)
    try:
        origin = Origin(TopicId(epoch), topic, int(partition), int(offset), int(logged))
    except ValueError as error:
        raise Rejected("bad_join", str(error)) from error
    return dataclasses.replace(incoming, origin=origin, headers=incoming.headers[: -len(_ORIGIN_HEADERS)])


_ORIGIN_HEADERS = ("joined_epoch", "joined_topic", "joined_partition", "joined_offset", "joined_logged")


def build_reward_timeout(task: str, prediction_id: str) -> Record:
    """Asks for a prediction to be judged again, in its place among its events, because time has passed."""
    return Record(topics.joins(task), prediction_id.encode(), None, ())


def _is_excluded(incoming: ConsumedRecord) -> bool:
    """Whether this is history that was published again, joined when it happened; or of a session that still runs."""
    return any(header_text(incoming.headers, name) is not None for name in ("ce_replay", "ce_partial"))


def _decode(incoming: ConsumedRecord, kind: type[EventT]) -> EventT:
    event = complete_event(incoming.headers, incoming.value or b"", incoming.origin, kind.type)
    own = not event.type.startswith("hindsight.")  # an application may give its feedback a type of its own
    return kind.decode(event.data, split_version(kind.type if own else event.type)[1])
