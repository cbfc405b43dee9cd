"""JSON Schemas of event data, and the topics that carry each event type."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema

from app.events import lifecycle, topics
from app.events.base import EventData, EventType
from app.events.decoding import EVENT_TYPES
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

TASK_PLACEHOLDER = "<task>"


@dataclass(frozen=True)
class Channel:
    """A topic with its event types; `<task>` stands for a task's name, `action` is the application's action."""

    topic: str
    description: str
    event_types: tuple[EventType, ...]
    action: Literal["send", "receive"] = "receive"


CHANNELS = (
    Channel(topics.requests(TASK_PLACEHOLDER), "Requests of applications.", (PredictionRequested,), "send"),
    Channel(topics.features(TASK_PLACEHOLDER), "Preprocessed requests.", (FeaturesExtracted,)),
    Channel(topics.predictions(TASK_PLACEHOLDER), "Answers to requests.", (PredictionMade, PredictionFailed)),
    Channel(
        topics.shadow_predictions(TASK_PLACEHOLDER),
        "Predictions of shadow versions for the same requests.",
        (PredictionMade,),
    ),
    Channel(
        topics.feedback(TASK_PLACEHOLDER),
        "Feedback of people and applications on predictions, and its retractions.",
        (FeedbackGiven, FeedbackRetracted),
        "send",
    ),
    Channel(topics.outcomes(TASK_PLACEHOLDER), "Predictions joined with their feedback.", (OutcomeRecorded,)),
    Channel(topics.LIFECYCLE, "Incidents, retraining runs, models and routes.", lifecycle.LIFECYCLE_TYPES),
    Channel(topics.DEAD_LETTERS, "Rejected records, with the reason.", (EventRejected,)),
)
"""Every topic of the log. Internal topics, which can be rebuilt from these, are not part of the contract."""


class UntitledSchema(GenerateJsonSchema):
    """JSON Schema without field titles, which would only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False."""
        return False


def event_schema(event_type: type[EventData]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a type's data."""
    schema = event_type.model_json_schema(schema_generator=UntitledSchema)
    return {"$schema": UntitledSchema.schema_dialect, "$id": f"urn:hindsight:{event_type.type}"} | schema


def write_schemas(directory: Path) -> list[Path]:
    """Write the schema of each type that has JSON data to `<type>.json`; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for event_type in EVENT_TYPES:
        if issubclass(event_type, EventData):
            written.append(directory / f"{event_type.type}.json")
            written[-1].write_text(json.dumps(event_schema(event_type), indent=2) + "\n")
    return written
