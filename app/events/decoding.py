"""Decoding of events of any version into the current one."""

import json

from app.events import lifecycle
from app.events.base import EventData, EventType, OpaqueEvent
from app.events.cloudevents import split_version
from app.events.types import (
    EventRejected,
    FeaturesExtracted,
    FeedbackGiven,
    FeedbackRetracted,
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
    FeedbackRetracted,
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


def feedback_type(type: str | None, data: bytes | None) -> type[FeedbackGiven] | type[FeedbackRetracted]:
    """Return the class of an event on a feedback topic, by its `ce_type`.

    Without one, or with a type of the application, an event whose data has a field `retracts` is a retraction.
    """
    if type is not None and type.startswith("hindsight."):
        return FeedbackRetracted if type.startswith(_RETRACTED_PREFIX) else FeedbackGiven
    return FeedbackRetracted if _has_field(data or b"", "retracts") else FeedbackGiven


_RETRACTED_PREFIX = f"{split_version(FeedbackRetracted.type)[0]}."


def _has_field(data: bytes, name: str) -> bool:
    try:
        value = json.loads(data) if name.encode() in data else None
    except (ValueError, RecursionError):  # it is not JSON
        return False
    return isinstance(value, dict) and name in value
