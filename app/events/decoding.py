"""Decoding of events of any version into the current one."""

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
"""Every event type, in its current version."""


_TYPES_BY_NAME = {split_version(event_type.type)[0]: event_type for event_type in EVENT_TYPES}


def decode(type: str, data: bytes) -> EventData:
    """Return the data of an event in the current version of its type, whatever version wrote it.

    Raises `Rejected`: `unknown_type`, `not_json` (the type has no JSON data), `newer_version` or `bad_data`.
    """
    name, version = split_version(type)
    event_type = _TYPES_BY_NAME.get(name)
    if event_type is None:
        raise Rejected("unknown_type", f"{type!r} is not an event type that this Hindsight knows")
    if issubclass(event_type, OpaqueEvent):
        raise Rejected("not_json", f"the data of {type!r} is not JSON")
    return event_type.decode(data, version)
