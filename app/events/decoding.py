"""Events read from the log, whatever version of their type they were written in."""

from app.events import lifecycle
from app.events.base import EventData, EventType, OpaqueEvent
from app.events.cloudevents import split_version
from app.events.types import (
    EventRejected,
    FeaturesExtracted,
    FeedbackGiven,
    OutcomeRecorded,
    PredictionFailed,
    PredictionMade,
    PredictionRequested,
)
from models.base import Rejected

EVENT_TYPES: tuple[EventType, ...] = (
    PredictionRequested,
    FeaturesExtracted,
    PredictionMade,
    PredictionFailed,
    FeedbackGiven,
    OutcomeRecorded,
    *lifecycle.LIFECYCLE_TYPES,
    EventRejected,
)
"""Every type of event, in its current version."""


_TYPES_BY_NAME = {split_version(kind.type)[0]: kind for kind in EVENT_TYPES}


def decode(type: str, data: bytes) -> EventData:
    """The data of an event in its current version, whatever version of its type it was written in.

    Raises `Rejected`: `unknown_type`, `not_json` (the type has no JSON data), `newer_version` or `bad_data`.
    """
    name, version = split_version(type)
    kind = _TYPES_BY_NAME.get(name)
    if kind is None:
        raise Rejected("unknown_type", f"{type!r} is no type of event that this Hindsight knows")
    if issubclass(kind, OpaqueEvent):
        raise Rejected("not_json", f"the data of {type!r} is not JSON")
    return kind.decode(data, version)
