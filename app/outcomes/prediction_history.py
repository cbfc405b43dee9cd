"""A prediction with its feedback: the input of outcomes, live and in replays."""

from dataclasses import dataclass
from datetime import datetime

from app.events.types import FeedbackGiven, FeedbackRetracted, PredictionMade


@dataclass(frozen=True)
class ServedPrediction:
    """The served prediction of a request. `time` is its `ce_time`, `logged` its log append time."""

    prediction: PredictionMade
    request_source: str
    time: datetime
    logged: datetime


@dataclass(frozen=True)
class FeedbackEvent:
    """A feedback event with its identity (`source`, `id`)."""

    feedback: FeedbackGiven
    source: str
    id: str
    time: datetime
    logged: datetime


@dataclass(frozen=True)
class PredictionHistory:
    """All events of one prediction: `served` is None until the prediction has arrived."""

    served: ServedPrediction | None
    feedback: tuple[FeedbackEvent, ...]
    retractions: tuple[FeedbackRetracted, ...] = ()
