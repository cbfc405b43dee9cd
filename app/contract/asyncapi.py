"""The AsyncAPI 3 document of a deployment: its topics and what is said there, for who writes an application.

`send` and `receive` are what an application does (https://www.asyncapi.com/docs/reference/specification/v3.0.0).
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
    "ce_specversion": "The version of CloudEvents.",
    "ce_id": "The event, together with `ce_source`.",
    "ce_source": "Where it comes from.",
    "ce_type": "What it says, and in which version.",
    "ce_time": "When it happened.",
    "ce_subject": "What it is about, in the application's words; a request's comes back on its prediction.",
    "content-type": "What the value is.",
    "traceparent": "The W3C trace it belongs to.",
    "ce_replay": "The replay that published this again: history, which nobody counts or learns from twice.",
    "ce_session": "The live session that a request is a chunk of; its chunks become one request, whose id this is.",
    "ce_final": "`true` on the last chunk of a session.",
    "ce_stream": "The stream that this is a frame of; its frames should have one key, so that their order is kept.",
    "ce_sequence": "The number of a session's chunk or of a stream's frame: 0, 1, 2, ...",
    "ce_partial": "`true` on what is said of a live session while it runs, which nobody counts or learns from.",
    "ce_missing": "How many chunks of the session were given up.",
    "ce_replayof": "The dead letter that this was, before it was replayed.",
}
_REQUIRED_HEADERS = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"]
_APPLICATION_EVENT_TYPES = {kind for channel in CHANNELS if channel.action == "send" for kind in channel.event_types}


class _Draft7(UntitledSchema):
    """JSON Schema as AsyncAPI has it: tuples are written as in draft 7."""

    def tuple_schema(self, schema: Any) -> dict[str, Any]:
        said = super().tuple_schema(schema)
        if "prefixItems" in said:
            said["items"] = said.pop("prefixItems")
        return said


def build_document(settings: Settings, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """The document of this deployment and its tasks."""
    wanted = {topic.name: topic for topic in topics.required_topics(settings)}
    channels, operations = {}, {}
    for pattern in CHANNELS:
        for task in tasks if TASK_PLACEHOLDER in pattern.topic else [""]:
            name = pattern.topic.replace(TASK_PLACEHOLDER, task)
            channels[name] = _channel(pattern, wanted[name], settings.replication, tasks.get(task))
            operations[f"{pattern.action}-{name}"] = _operation(pattern, name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hindsight",
            "version": version("hindsight"),
            "description": "What applications send to Hindsight, and receive from it. Events are CloudEvents "
            f"{SPEC_VERSION} in Kafka's binary content mode: attributes are headers, data is the value.",
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
    says = f"{pattern.description} Key: {topic.key}."
    if task is not None and topic.name == topics.predictions(task.name) and (samples := task.samples()):
        says += f" `output` is such as `{json.dumps(samples[0].correction, ensure_ascii=False)}`."
    return {
        "address": topic.name,
        "description": says,
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
    """A topic's setting in the type that the Kafka binding gives it."""
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


def _message(kind: EventType) -> dict[str, Any]:
    summary, _, more = (inspect.getdoc(kind) or "").partition("\n\n")
    said = {"name": kind.type, "title": kind.__name__, "summary": summary, "headers": _headers(kind)}
    if more:
        said["description"] = more
    if kind.content_type is not None:
        said["contentType"] = kind.content_type
    if issubclass(kind, EventData):
        said["payload"] = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return said


def _headers(kind: EventType) -> dict[str, Any]:
    """Of what applications send, Hindsight fills in what is missing; a dead letter has whatever the original had."""
    said = {
        name: {"type": "string", "description": text}
        for name, text in (HEADER_DESCRIPTIONS | dict(kind.headers)).items()
    }
    if kind is EventRejected:
        return {"type": "object", "properties": said, "required": list(kind.headers)}
    said["ce_specversion"]["const"] = SPEC_VERSION
    said["ce_time"]["format"] = "date-time"
    if kind in _APPLICATION_EVENT_TYPES:
        said["ce_type"]["default"] = kind.type
        return {"type": "object", "properties": said}
    said["ce_type"]["const"] = kind.type
    return {"type": "object", "properties": said, "required": [*_REQUIRED_HEADERS, *kind.headers]}


def _schemas() -> dict[str, Any]:
    kinds = [(kind, "validation") for kind in EVENT_TYPES if issubclass(kind, EventData)]
    _, said = models_json_schema(kinds, ref_template="#/components/schemas/{model}", schema_generator=_Draft7)  # type: ignore[arg-type]
    return dict(said["$defs"])
