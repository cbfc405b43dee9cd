"""Repartitioning: predictions and feedback by prediction id, so that all of one prediction is in one partition.

Feedback that can't be used is a dead letter, for good: nothing of its prediction need wait behind it. What may pass
(a broker or a database that is away) is waited for in the guard, and everything behind waits too: so the events of
one prediction keep their order.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from app.events import topics
from app.events.answers import dead_letter
from app.events.base import Data
from app.events.cloudevents import Incoming, LogEpoch, Origin, Record, complete, header, identity, versioned
from app.events.types import Failure, FeedbackGiven, PredictionFailed, PredictionMade
from app.monitoring import metrics
from app.streams.delivery import Answer
from models.base import Rejected, Task

PREDICTIONS = "predictions"
FEEDBACK = "feedback"
OUTCOMES = "outcomes"
"""The stages under which what can't be joined is found in `dead-letters`."""


KINDS = ("correction", "reward", "accepted")
"""What feedback may say."""

D = TypeVar("D", bound=Data)
_FAILED = f"{versioned(PredictionFailed.type)[0]}."


class Joins:
    """Handles the predictions and the feedback of one task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        metrics.expected(task.name, PREDICTIONS, FEEDBACK, OUTCOMES)
        for kind in KINDS:
            metrics.FEEDBACK.labels(task.name, kind)

    async def predictions(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        """Each served prediction, under its id, and what a version failed to say, which counts against it."""
        return [() if _aside(incoming) else self._prediction(incoming) for incoming in batch]

    async def feedback(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        """Each piece of feedback, under the id of its prediction, which may not have been made yet."""
        return [() if _aside(incoming) else self._feedback(incoming) for incoming in batch]

    def _prediction(self, incoming: Incoming) -> Answer:
        try:
            if (header(incoming.headers, "ce_type") or "").startswith(_FAILED):
                failed = _said(incoming, PredictionFailed)
                asked = failed.model is not None and failed.role is not None
                return [repartitioned(incoming, failed.task, failed.prediction_id)] if asked else ()
            made = _said(incoming, PredictionMade)
            if made.task != self._task.name:
                raise Rejected("wrong_task", f"this is a prediction of {made.task!r}, not of {self._task.name!r}")
            return [] if made.role == "shadow" else [repartitioned(incoming, self._task.name, made.prediction_id)]
        except Rejected as error:
            return error

    def _feedback(self, incoming: Incoming) -> Answer:
        try:
            given = _said(incoming, FeedbackGiven)
            task, prediction = given.about
            if task != self._task.name:
                raise Rejected("wrong_task", f"this is feedback for {task!r}, not for {self._task.name!r}")
            if given.correction is not None:
                self._task.validate_correction(given.correction)
            for kind in KINDS:
                if getattr(given, kind) is not None:
                    metrics.FEEDBACK.labels(task, kind).inc()
            return [repartitioned(incoming, task, prediction)]
        except Rejected as error:
            return error

    def reject(self, incoming: Incoming, failure: Failure) -> Sequence[Record]:
        """The dead letter: nobody waits for an answer to feedback."""
        metrics.failed(self._task.name, failure.stage, failure.code)
        original = Record(incoming.origin.topic, incoming.key, incoming.value, incoming.headers)
        event = identity(incoming.headers, incoming.origin)
        return [dead_letter(original, incoming.origin, failure, event)[1]]


def repartitioned(incoming: Incoming, task: str, prediction_id: str) -> Record:
    """The record under the prediction's id, with where it came from in `joined_*` headers after its own."""
    origin = incoming.origin
    places = (origin.epoch, origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
    headers = tuple((name, str(value).encode()) for name, value in zip(_PLACES, places, strict=True))
    return Record(topics.joins(task), prediction_id.encode(), incoming.value, (*incoming.headers, *headers))


def original(incoming: Incoming) -> Incoming | None:
    """The record that was repartitioned, as it was consumed; None for a `reminder`. Raises `Rejected`."""
    if not incoming.headers and incoming.value is None:
        return None
    headers = incoming.headers[-len(_PLACES) :]
    if tuple(name for name, _ in headers) != _PLACES:
        raise Rejected("bad_join", f"the headers don't end with {', '.join(_PLACES)}")
    epoch, topic, partition, offset, logged = (header(headers, name) or "" for name in _PLACES)
    try:
        origin = Origin(LogEpoch(epoch), topic, int(partition), int(offset), int(logged))
    except ValueError as error:
        raise Rejected("bad_join", str(error)) from error
    return dataclasses.replace(incoming, origin=origin, headers=incoming.headers[: -len(_PLACES)])


_PLACES = ("joined_epoch", "joined_topic", "joined_partition", "joined_offset", "joined_logged")


def reminder(task: str, prediction_id: str) -> Record:
    """Asks for a prediction to be judged again, in its place among its events, because time has passed."""
    return Record(topics.joins(task), prediction_id.encode(), None, ())


def _aside(incoming: Incoming) -> bool:
    """Whether this is history that was published again, joined when it happened; or of a session that still runs."""
    return any(header(incoming.headers, name) is not None for name in ("ce_replay", "ce_partial"))


def _said(incoming: Incoming, kind: type[D]) -> D:
    event = complete(incoming.headers, incoming.value or b"", incoming.origin, kind.type)
    own = not event.type.startswith("hindsight.")  # an application may give its feedback a type of its own
    return kind.read(event.data, versioned(kind.type if own else event.type)[1])
