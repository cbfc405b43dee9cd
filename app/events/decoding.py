"""Events read from the log, whatever version of their type they were written in."""

from app.events import lifecycle
from app.events.base import Data, Kind, Opaque
from app.events.cloudevents import versioned
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

TYPES: tuple[Kind, ...] = (
    PredictionRequested,
    FeaturesExtracted,
    PredictionMade,
    PredictionFailed,
    FeedbackGiven,
    OutcomeRecorded,
    *lifecycle.TYPES,
    EventRejected,
)
"""Every type of event, in its current version."""


_BY_NAME = {versioned(kind.type)[0]: kind for kind in TYPES}


def decode(type: str, data: bytes) -> Data:
    """The data of an event in its current version, whatever version of its type it was written in.

    Raises `Rejected`: `unknown_type`, `not_json` (the type has no JSON data), `newer_version` or `bad_data`.
    """
    name, version = versioned(type)
    kind = _BY_NAME.get(name)
    if kind is None:
        raise Rejected("unknown_type", f"{type!r} is no type of event that this Hindsight knows")
    if issubclass(kind, Opaque):
        raise Rejected("not_json", f"the data of {type!r} is not JSON")
    return kind.read(data, version)
