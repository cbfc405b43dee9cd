"""JSON Schemas of what events say, and on which topics they say it."""

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
    OutcomeRecorded,
    PredictionFailed,
    PredictionMade,
    PredictionRequested,
)

TASK_PLACEHOLDER = "<task>"


@dataclass(frozen=True)
class Channel:
    """A topic, `<task>` standing for each task's name, and its types; `action` is what an application does there."""

    topic: str
    description: str
    event_types: tuple[EventType, ...]
    action: Literal["send", "receive"] = "receive"


CHANNELS = (
    Channel(topics.requests(TASK_PLACEHOLDER), "What applications ask.", (PredictionRequested,), "send"),
    Channel(topics.features(TASK_PLACEHOLDER), "Requests, preprocessed.", (FeaturesExtracted,)),
    Channel(topics.predictions(TASK_PLACEHOLDER), "The answer to each request.", (PredictionMade, PredictionFailed)),
    Channel(
        topics.shadow_predictions(TASK_PLACEHOLDER),
        "What versions on trial say of the same requests.",
        (PredictionMade,),
    ),
    Channel(
        topics.feedback(TASK_PLACEHOLDER), "What people and applications say of predictions.", (FeedbackGiven,), "send"
    ),
    Channel(
        topics.outcomes(TASK_PLACEHOLDER), "Predictions, joined with all that is known of them.", (OutcomeRecorded,)
    ),
    Channel(topics.LIFECYCLE, "The life of models.", lifecycle.LIFECYCLE_TYPES),
    Channel(topics.DEAD_LETTERS, "What could not be processed, and why.", (EventRejected,)),
)
"""Every topic of the log; the internal ones, which can be made again from these, are nobody else's business."""


class UntitledSchema(GenerateJsonSchema):
    """JSON Schema without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def event_schema(event_type: type[EventData]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a type's data."""
    said = event_type.model_json_schema(schema_generator=UntitledSchema)
    return {"$schema": UntitledSchema.schema_dialect, "$id": f"urn:hindsight:{event_type.type}"} | said


def write_schemas(directory: Path) -> list[Path]:
    """Write the schema of each type that has JSON data to `<type>.json`; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in EVENT_TYPES:
        if issubclass(kind, EventData):
            written.append(directory / f"{kind.type}.json")
            written[-1].write_text(json.dumps(event_schema(kind), indent=2) + "\n")
    return written
