"""Predictions and feedback of a task whose corrections are `{"sum": number}`."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.memory import MemoryAnswer
from app.events.types import FeedbackGiven, FeedbackRetracted, PredictionMade
from app.outcomes.prediction_history import FeedbackEvent, ServedPrediction
from models.base import Rejected
from tests.support.fake_inference import TASK, make_prediction
from tests.support.tasks import Letters

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
OUTPUT = {"sum": 1.0}
ACTORS = ("ada", "bob", "cleo")


class SumTask(Letters):
    """The task `letters` that rejects a correction without a sum."""

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"sum": float(correction["sum"])}
        except (KeyError, TypeError, ValueError) as error:
            raise Rejected("bad_correction", f"{correction} has no sum") from error


def minutes_after_start(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def prediction_id_of(request: str = "1") -> str:
    """Return the id of a request's prediction."""
    return prediction_id(TASK, "app", request)


def make_served_prediction(request: str = "1", output: dict[str, Any] = OUTPUT, **changes: Any) -> ServedPrediction:
    prediction = make_prediction(prediction_id_of(request), request, output).model_copy(update=changes)
    return ServedPrediction(prediction, "app", START, START)


def make_feedback(
    minutes: float, actor: str = "ada", request: str = "1", id: str | None = None, **fields: Any
) -> FeedbackEvent:
    feedback = FeedbackGiven(prediction_id=prediction_id_of(request), actor=actor, **fields)
    return FeedbackEvent(
        feedback,
        "app",
        id or f"{request}-{actor}-{minutes}-{fields}",
        minutes_after_start(minutes),
        minutes_after_start(minutes),
    )


@dataclass(frozen=True)
class RetractionEvent:
    """A retraction with its identity."""

    retraction: FeedbackRetracted
    id: str
    source: str = "undo"
    time: datetime = START


def make_retraction(event: FeedbackEvent, actor: str | None = None, source: str | None = None) -> RetractionEvent:
    """Return the retraction of feedback, by its own actor unless another is given."""
    retraction = FeedbackRetracted(
        prediction_id=event.feedback.prediction_id,
        actor=actor or event.feedback.actor,
        retracts=event.id,
        retracts_source=source,
    )
    return RetractionEvent(retraction, f"retraction of {event.id}")


def remembered_answer(own: float) -> dict[str, Any]:
    """Return the fields of a prediction whose output is a remembered correction; `own` is the model's sum."""
    memory = MemoryAnswer(
        corrected=prediction_id_of("0"), outcome="o", output={"sum": own}, confidence=0.25, propensity=0.5
    )
    return {"memory": memory, "input_digest": "0" * 64, "confidence": 2 / 3}


def make_correction(value: float) -> dict[str, Any]:
    return {"correction": {"sum": value}}


_feedback_contents = st.sampled_from(
    [
        make_correction(1),
        make_correction(2),
        make_correction(3),
        {"accepted": True},
        {"accepted": False},
        {"reward": 0.5},
        {"reward": -1.0},
        {"reward": 0.1, "reward_name": "click"},
        {"reward": -0.7, "reward_name": "click"},
        {"reward": 1.0, "reward_name": "purchase"},
        {"reward": 0.4, "position": 2},
        {"reward": 1.0, "reward_name": "click", "position": 1},
        make_correction(2) | {"accepted": False},
        make_correction(1) | {"reward": 1.0},
        {"accepted": True, "reward": 0.0},
        {"preference": {"output": {"sum": 2.0}, "better": True}},
        {"preference": {"output": {"sum": 2.0}, "better": False}},
        {"correction": {"text": "refused"}},
    ]
)


def feedback_lists(request: str = "1") -> st.SearchStrategy[list[FeedbackEvent]]:
    """Draw feedback on a prediction, each event once."""
    events = st.builds(
        lambda minutes, actor, fields, id: make_feedback(minutes, actor, request, id, **fields),
        st.integers(-2, 20),
        st.sampled_from(ACTORS),
        _feedback_contents,
        st.uuids().map(str),
    )
    return st.lists(events, max_size=8, unique_by=lambda event: event.id)


def as_consumed(events: Sequence[ServedPrediction | FeedbackEvent | RetractionEvent]) -> list[ConsumedRecord]:
    """Return the events as they are consumed from their topics, in this order."""
    return [_consumed_event(event, offset) for offset, event in enumerate(events)]


def _consumed_event(event: ServedPrediction | FeedbackEvent | RetractionEvent, offset: int) -> ConsumedRecord:
    data: PredictionMade | FeedbackGiven | FeedbackRetracted
    if isinstance(event, ServedPrediction):
        data, topic, key = event.prediction, topics.predictions(TASK), event.prediction.request_id
        attributes = {"id": event.prediction.prediction_id, "source": f"hindsight/{TASK}"}
        extensions = {"requestsource": event.request_source}
    else:
        data = event.feedback if isinstance(event, FeedbackEvent) else event.retraction
        topic, key = topics.feedback(TASK), data.task_and_prediction[1]
        attributes, extensions = {"id": event.id, "source": event.source}, {}
    record = data.to_record(topic, key.encode(), **attributes, time=event.time.isoformat(), extensions=extensions)
    logged = START + timedelta(days=1, milliseconds=offset)
    return consumed_record(record, offset, logged)


def consumed_record(record: Record, offset: int = 0, logged: datetime = START, partition: int = 0) -> ConsumedRecord:
    """Return a record as it is consumed."""
    origin = Origin(TopicId(f"c/{record.topic}"), record.topic, partition, offset, round(logged.timestamp() * 1000))
    return ConsumedRecord(origin, record.key, record.value, record.headers)


def redeliver(events: Sequence[FeedbackEvent]) -> list[FeedbackEvent]:
    """Return the same events as they are logged a second time."""
    return [dataclasses.replace(event, logged=event.logged + timedelta(hours=1)) for event in events]
