"""A prediction and all that was said of it: what outcomes are made from, live and in a replay."""

from dataclasses import dataclass
from datetime import datetime

from app.events.types import FeedbackGiven, PredictionMade


@dataclass(frozen=True)
class ServedPrediction:
    """A request's one prediction. `time` is its `ce_time`, `logged` its log append time."""

    prediction: PredictionMade
    request_source: str
    time: datetime
    logged: datetime


@dataclass(frozen=True)
class FeedbackEvent:
    """One feedback event, by its identity (`source`, `id`)."""

    feedback: FeedbackGiven
    source: str
    id: str
    time: datetime
    logged: datetime


@dataclass(frozen=True)
class PredictionHistory:
    """All that is known of one prediction: `served` is None while only feedback has come."""

    served: ServedPrediction | None
    feedback: tuple[FeedbackEvent, ...]
