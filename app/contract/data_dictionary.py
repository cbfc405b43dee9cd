"""The data dictionary, `docs/events.md`: each column of the archive and of datasets, each field of the events."""

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.contract.json_schemas import CHANNELS, TASK_PLACEHOLDER, event_schema
from app.eventlog.schema import SCHEMA
from app.events.base import EventData, EventType
from app.events.decoding import EVENT_TYPES
from app.events.topics import required_topics
from app.replay import dataset
from app.settings import Settings

_ARCHIVE_COLUMNS = {
    "day": "The day of `logged`, in UTC; each table is partitioned by it.",
    "topic": "The topic.",
    "partition": "The topic's partition.",
    "offset": "The offset in the partition.",
    "logged": "Time at which the event was appended to the log; *as of* refers to it.",
    "id": "The event's id, unique together with `source`: `ce_id`, or filled in.",
    "source": "The event's source: `ce_source`, or filled in.",
    "type": "The event's type and version: `ce_type`, or filled in; null if the headers break CloudEvents.",
    "time": "The time of the event: `ce_time`, or `logged`.",
    "subject": "The event's subject: `ce_subject`.",
    "content_type": "The media type of the data: `content-type`.",
    "traceparent": "The W3C trace context.",
    "extensions": "All other `ce_*` headers, without that prefix; for a dead letter, its `rejected_*` headers.",
    "epoch": "Cluster id and topic id: a topic that is deleted and created again has a different one.",
    "key": "The record's key.",
    "headers": "The record's headers, unchanged.",
    "data": "The record's value; null if it is in blob storage.",
    "data_uri": "The claim check of a large value, which is stored once in blob storage.",
}
_DATASET_COLUMNS = {
    "prediction_id": "The prediction's id.",
    "request_id": "The request's `ce_id`.",
    "request_source": "The request's `ce_source`.",
    "entity": "The request's key; without one the hash of its payload, or its id if an older release preprocessed it."
    " All rows of an entity are in one split.",
    "time": "The request's `ce_time`.",
    "split": "`train` (80 %), `validation` (10 %) or `test` (10 %), by a hash of `entity`: stable as data grows.",
    "features": "The tensors that the model received; `models.tensors.decode(features, tensors)` reads them.",
    "tensors": "Their names, dtypes and shapes, as JSON.",
    "payload": "With `--content payload`: the application's payload, without its envelope.",
    "output": "The served output, as JSON.",
    "confidence": "The calibrated probability that the output is right.",
    "propensity": "The probability with which the serving policy emits this output.",
    "version": "The model's version.",
    "role": "The role that served: champion or canary.",
    "label": "The right output, as JSON, by the task's label rule.",
    "actors": "The actors who stand behind the label.",
    "contradicted": "Whether actors contradict each other.",
    "accepted": "Whether the actors who stand behind the label accepted the output; null if they did not say.",
    "reward": "How good the output was, from -1 to 1: the weighted sum over names and positions, clipped.",
    "rewards": "The combined reward of each name, before its weight, as JSON; null if no reward has a name.",
    "position_rewards": "The reward of each position of a slate up to the last that has one, as a JSON list.",
    "reward_defaulted": "Whether the reward is the task's default, because none arrived within the task's window.",
    "score": "The score of the output against the label; 1 is perfect.",
    "selection": "How the prediction was selected for review: all, audit or volunteer; null if it was not reviewed.",
    "selection_probability": "The probability of that selection; null, because unknown, for volunteers.",
    "audit_answered": "Whether the audit's queue asked for some of the feedback; null outside of the audit, and for"
    " predictions that older releases recorded.",
    "preferences": "Other outputs that are better or worse than the served one, as JSON:"
    ' `[{"output": {...}, "better": true}]`.',
}
_HEADING = """\
# The events

<!-- Written by `hindsight dictionary --out docs/events.md`: change the docstrings, and run it again. -->

Every event is a CloudEvent in Kafka's binary content mode: attributes are headers, the value is the data. The version
of a type is the end of its name; `app.events.decoding.decode` reads every version as the newest one.
`hindsight schemas` writes the JSON Schemas, `hindsight asyncapi` the AsyncAPI document of a deployment.
"""


def render_markdown() -> str:
    """Return the dictionary as Markdown."""
    archive_rows = ([f"`{field.name}`", str(field.type), _ARCHIVE_COLUMNS[field.name]] for field in SCHEMA)
    dataset_rows = ([f"`{field.name}`", str(field.type), _DATASET_COLUMNS[field.name]] for field in dataset.SCHEMA)
    return "\n".join(
        [
            _HEADING,
            "## Topics\n",
            *_table(["topic", "key", "description", "types"], _topic_rows()),
            "## The archive\n",
            "Each topic is a Delta table on blob storage, `events/<topic>`, with a row for each record.\n",
            *_table(["column", "type", "description"], archive_rows),
            "## Datasets\n",
            "`hindsight replay` writes `rows.parquet`: a row for each served prediction, by time and id.\n",
            *_table(["column", "type", "description"], dataset_rows),
            "## Types\n",
            *(line for kind in EVENT_TYPES for line in _type_section(kind)),
        ]
    )


def _topic_rows() -> Iterator[list[str]]:
    keys = {topic.name: topic.key for topic in required_topics(Settings(tasks={TASK_PLACEHOLDER: ""}))}
    for channel in CHANNELS:
        types = ", ".join(f"`{kind.type}`" for kind in channel.event_types)
        yield [f"`{channel.topic}`", keys[channel.topic], channel.description, types]


def _type_section(event_type: EventType) -> Iterator[str]:
    yield f"### {event_type.type}\n"
    yield f"{inspect.getdoc(event_type)}\n"
    if event_type.headers:
        yield from _table(
            ["header", "description"], ([f"`{name}`", description] for name, description in event_type.headers.items())
        )
    if issubclass(event_type, EventData):
        schema = event_schema(event_type)
        yield from _table(["field", "type", "description"], _field_rows(schema, schema.get("$defs", {})))


def _field_rows(schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    for name, field in schema["properties"].items():
        default = "" if name in schema["required"] else f", by default {json.dumps(field['default'])}"
        yield [f"`{prefix}{name}`", _describe_type(field) + default, field.get("description", "")]
        for part in (field, *field.get("anyOf", ())):
            if "$ref" in part:
                yield from _field_rows(definitions[part["$ref"].rpartition("/")[2]], definitions, f"{prefix}{name}.")


def _describe_type(schema: Mapping[str, Any]) -> str:
    """Return a JSON Schema in words."""
    if "anyOf" in schema:
        return " or ".join(_describe_type(variant) for variant in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"[{', '.join(_describe_type(item) for item in schema['prefixItems'])}]"
    if schema.get("type") == "array":
        return f"array of {_describe_type(schema['items'])}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        keys = f" by {_describe_type(schema['propertyNames'])}" if "propertyNames" in schema else ""
        return f"object of {_describe_type(values)}{keys}"
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    bounds = [f"{'above' if 'exclusiveMinimum' in schema else 'from'} {lowest}"] if lowest is not None else []
    bounds += [f"to {schema['maximum']}"] if "maximum" in schema else []
    return " ".join([schema.get("type", "object"), *bounds])


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
