"""The AsyncAPI 3 document of a deployment: its topics and messages, for developers of applications.

`send` and `receive` are the application's actions (https://www.asyncapi.com/docs/reference/specification/v3.0.0).
"""

import inspect
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from app.contract.json_schemas import CHANNELS, TASK_PLACEHOLDER, Channel, UntitledSchema
from app.events import topics
from app.events.base import EventData, EventType
from app.events.cloudevents import SPEC_VERSION
from app.events.decoding import EVENT_TYPES
from app.events.types import EventRejected
from app.settings import Settings
from models.base import Task

KAFKA_BINDING_VERSION = "0.5.0"
HEADER_DESCRIPTIONS = {
    "ce_specversion": "The CloudEvents version.",
    "ce_id": "The event's id, unique together with `ce_source`.",
    "ce_source": "The event's source.",
    "ce_type": "The event's type and version.",
    "ce_time": "The time of the event.",
    "ce_subject": "The application's subject; a prediction has the subject of its request.",
    "content-type": "The media type of the value.",
    "traceparent": "The W3C trace context.",
    "ce_replay": "The replay that republished this event: history, which is neither counted nor learned from twice.",
    "ce_session": "The live session of this chunk; its chunks become one request with this id.",
    "ce_final": "`true` on the last chunk of a session.",
    "ce_stream": "The stream of this frame; give all its frames the same key to keep their order.",
    "ce_expirytime": "The time until which an answer is wanted, in RFC 3339; later, the answer is `expired`.",
    "ce_sequence": "The number of a session's chunk or of a stream's frame: 0, 1, 2, ...",
    "ce_partial": "`true` on an answer to a session in progress, which is neither counted nor learned from.",
    "ce_missing": "The number of the session's chunks that were given up.",
    "ce_payloadhash": "On features: SHA-256 of the payload of a request without a key, the entity of its dataset row.",
    "ce_replayof": "The dead letter that was redelivered as this event.",
}
_REQUIRED_HEADERS = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"]
_APPLICATION_EVENT_TYPES = {kind for channel in CHANNELS if channel.action == "send" for kind in channel.event_types}


class _Draft7(UntitledSchema):
    """JSON Schema as AsyncAPI expects it: tuples as in draft 7."""

    def tuple_schema(self, schema: Any) -> dict[str, Any]:
        document = super().tuple_schema(schema)
        if "prefixItems" in document:
            document["items"] = document.pop("prefixItems")
        return document


def build_document(settings: Settings, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """Return the document of this deployment and its tasks."""
    specs = {topic.name: topic for topic in topics.required_topics(settings)}
    channels, operations = {}, {}
    for pattern in CHANNELS:
        for task in tasks if TASK_PLACEHOLDER in pattern.topic else [""]:
            name = pattern.topic.replace(TASK_PLACEHOLDER, task)
            channels[name] = _channel(pattern, specs[name], settings.replication, tasks.get(task))
            operations[f"{pattern.action}-{name}"] = _operation(pattern, name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hindsight",
            "version": version("hindsight"),
            "description": "The events that applications send to Hindsight and receive from it. Events are CloudEvents "
            f"{SPEC_VERSION} in Kafka's binary content mode: attributes are headers, the value is the data.",
        },
        "defaultContentType": EventData.content_type,
        "servers": {
            f"kafka-{number}": {"host": host.strip(), "protocol": "kafka"}
            for number, host in enumerate(settings.bootstrap.split(","), 1)
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": {kind.__name__: _message(kind) for kind in EVENT_TYPES}, "schemas": _schemas()},
    }


def _channel(pattern: Channel, topic: topics.TopicSpec, replicas: int, task: Task | None) -> dict[str, Any]:
    description = f"{pattern.description} Key: {topic.key}."
    if task is not None and topic.name == topics.predictions(task.name) and (samples := task.samples()):
        description += f" An example of `output`: `{json.dumps(samples[0].correction, ensure_ascii=False)}`."
    return {
        "address": topic.name,
        "description": description,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in pattern.event_types},
        "tags": [{"name": task.name}] if task is not None else [],
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "replicas": replicas,
                "topicConfiguration": {name: _typed_setting(name, value) for name, value in topic.configs.items()},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _typed_setting(name: str, value: str) -> str | int | list[str]:
    """Return a topic's setting in the type that the Kafka binding requires."""
    if name == "cleanup.policy":
        return value.split(",")
    return int(value) if value.lstrip("-").isdecimal() else value


def _operation(pattern: Channel, name: str) -> dict[str, Any]:
    return {
        "action": pattern.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": pattern.description,
        "messages": [{"$ref": f"#/channels/{name}/messages/{kind.__name__}"} for kind in pattern.event_types],
    }


def _message(event_type: EventType) -> dict[str, Any]:
    summary, _, details = (inspect.getdoc(event_type) or "").partition("\n\n")
    message = {
        "name": event_type.type,
        "title": event_type.__name__,
        "summary": summary,
        "headers": _headers(event_type),
    }
    if details:
        message["description"] = details
    if event_type.content_type is not None:
        message["contentType"] = event_type.content_type
    if issubclass(event_type, EventData):
        message["payload"] = {"$ref": f"#/components/schemas/{event_type.__name__}"}
    return message


def _headers(event_type: EventType) -> dict[str, Any]:
    """Return the schema of a message's headers.

    Hindsight fills in the headers that applications leave out; a dead letter has all headers of the rejected record.
    """
    properties = {
        name: {"type": "string", "description": text}
        for name, text in (HEADER_DESCRIPTIONS | dict(event_type.headers)).items()
    }
    if event_type is EventRejected:
        return {"type": "object", "properties": properties, "required": list(event_type.headers)}
    properties["ce_specversion"]["const"] = SPEC_VERSION
    properties["ce_time"]["format"] = "date-time"
    if event_type in _APPLICATION_EVENT_TYPES:
        properties["ce_type"]["default"] = event_type.type
        return {"type": "object", "properties": properties}
    properties["ce_type"]["const"] = event_type.type
    return {"type": "object", "properties": properties, "required": [*_REQUIRED_HEADERS, *event_type.headers]}


def _schemas() -> dict[str, Any]:
    event_types = [(event_type, "validation") for event_type in EVENT_TYPES if issubclass(event_type, EventData)]
    _, schema = models_json_schema(event_types, ref_template="#/components/schemas/{model}", schema_generator=_Draft7)  # type: ignore[arg-type]
    return dict(schema["$defs"])
