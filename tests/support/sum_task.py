"""Predictions and feedback of a task that takes `{"sum": number}` and nothing else."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from app.events import topics
from app.events.cloudevents import Incoming, LogEpoch, Origin, Record
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, PredictionMade
from app.outcomes.prediction_history import Said, Served
from models.base import Rejected
from tests.support.fake_inference import TASK, made
from tests.support.tasks import Letters

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
OUTPUT = {"sum": 1.0}
ACTORS = ("ada", "bob", "cleo")


class Sums(Letters):
    """Refuses a correction that is no sum."""

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"sum": float(correction["sum"])}
        except (KeyError, TypeError, ValueError) as error:
            raise Rejected("bad_correction", f"{correction} has no sum") from error


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def unique(request: str = "1") -> str:
    """The id of a request's prediction."""
    return prediction_id(TASK, "app", request)


def served(request: str = "1", output: dict[str, Any] = OUTPUT, **changes: Any) -> Served:
    prediction = made(unique(request), request, output).model_copy(update=changes)
    return Served(prediction, "app", START, START)


def said(minutes: float, actor: str = "ada", request: str = "1", id: str | None = None, **what: Any) -> Said:
    given = FeedbackGiven(prediction_id=unique(request), actor=actor, **what)
    return Said(given, "app", id or f"{request}-{actor}-{minutes}-{what}", at(minutes), at(minutes))


def label(value: float) -> dict[str, Any]:
    return {"correction": {"sum": value}}


_whats = st.sampled_from(
    [
        label(1),
        label(2),
        label(3),
        {"accepted": True},
        {"accepted": False},
        {"reward": 0.5},
        {"reward": -1.0},
        label(2) | {"accepted": False},
        label(1) | {"reward": 1.0},
        {"accepted": True, "reward": 0.0},
        {"correction": {"text": "refused"}},
    ]
)


def feedback(request: str = "1") -> st.SearchStrategy[list[Said]]:
    """Whatever may be said of a prediction, each event once."""
    one = st.builds(
        lambda minutes, actor, what, id: said(minutes, actor, request, id, **what),
        st.integers(-2, 20),
        st.sampled_from(ACTORS),
        _whats,
        st.uuids().map(str),
    )
    return st.lists(one, max_size=8, unique_by=lambda one: one.id)


def with_places(events: Sequence[Served | Said]) -> list[Incoming]:
    """The events as they come from their topics, in this order."""
    return [_incoming(event, offset) for offset, event in enumerate(events)]


def _incoming(event: Served | Said, offset: int) -> Incoming:
    data: PredictionMade | FeedbackGiven
    if isinstance(event, Served):
        data, topic, key = event.made, topics.predictions(TASK), event.made.request_id
        attributes = {"id": event.made.prediction_id, "source": f"hindsight/{TASK}"}
        extensions = {"requestsource": event.request_source}
    else:
        data, topic, key = event.given, topics.feedback(TASK), event.given.about[1]
        attributes, extensions = {"id": event.id, "source": event.source}, {}
    record = data.record(topic, key.encode(), **attributes, time=event.time.isoformat(), extensions=extensions)
    logged = START + timedelta(days=1, milliseconds=offset)
    return incoming(record, offset, logged)


def incoming(record: Record, offset: int = 0, logged: datetime = START, partition: int = 0) -> Incoming:
    """A record as it is consumed."""
    origin = Origin(LogEpoch(f"c/{record.topic}"), record.topic, partition, offset, round(logged.timestamp() * 1000))
    return Incoming(origin, record.key, record.value, record.headers)


def repeated(events: Sequence[Said]) -> list[Said]:
    """The same events, delivered to the log a second time."""
    return [dataclasses.replace(event, logged=event.logged + timedelta(hours=1)) for event in events]
