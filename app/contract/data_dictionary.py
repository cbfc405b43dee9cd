"""The data dictionary, `docs/events.md`: what each column of the archive and each field of an event says."""

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
    "partition": "The partition in it.",
    "offset": "The offset in that.",
    "logged": "When the event came into the log: what *as of* is about.",
    "id": "The event, together with `source`: `ce_id`, or filled in.",
    "source": "Where it comes from: `ce_source`, or filled in.",
    "type": "What it says, and in which version: `ce_type`, or filled in; null where the headers break CloudEvents.",
    "time": "When it happened: `ce_time`, or `logged`.",
    "subject": "What it is about: `ce_subject`.",
    "content_type": "What its data is: `content-type`.",
    "traceparent": "The W3C trace it belongs to.",
    "extensions": "All other `ce_*` headers, without that prefix; of a dead letter its `rejected_*` headers.",
    "epoch": "The log epoch, cluster and topic id: a topic that is deleted and made again has another one.",
    "key": "The record's key.",
    "headers": "All of its headers, as they were.",
    "data": "Its value; null if it is in blob storage.",
    "data_uri": "The claim check of a large value, which is in blob storage once.",
}
_DATASET_COLUMNS = {
    "prediction_id": "The prediction.",
    "request_id": "The request's `ce_id`.",
    "request_source": "The request's `ce_source`.",
    "entity": "What the request is about: its key, or its id. All of an entity is in one split.",
    "time": "The request's `ce_time`.",
    "split": "`train` (80 %), `validation` (10 %) or `test` (10 %), by a hash of `entity`: the same as data grows.",
    "features": "The tensors that the model has seen; `models.tensors.decode(features, tensors)` reads them.",
    "tensors": "Their names, dtypes and shapes, as JSON.",
    "payload": "With `--content payload`: what the application sent, out of its envelope.",
    "output": "What was served, as JSON.",
    "confidence": "The calibrated probability of being right.",
    "propensity": "The probability with which the serving policy emits this output.",
    "version": "The model's version.",
    "role": "In which role it served: champion or canary.",
    "label": "What would have been right, as JSON, by the task's rule.",
    "actors": "Who is behind the label.",
    "contradicted": "Whether actors differ.",
    "accepted": "Whether the actors who stand behind the label accepted the output, where one said so.",
    "reward": "How good it was, from -1 to 1.",
    "reward_defaulted": "Whether the reward is the default of a window that has ended without one.",
    "score": "The task's score of the output against the label; 1 is perfect.",
    "selection": "How the prediction came to be looked at: all, audit or volunteer; null if it was not.",
    "selection_probability": "How probable that was; null where nobody knows, as of volunteers.",
}
_HEADING = """\
# The events

<!-- Written by `hindsight dictionary --out docs/events.md`: change the docstrings, and run it again. -->

Every event is a CloudEvent in Kafka's binary content mode: attributes are headers, data is the value. A type's version
is the end of its name; `app.events.decoding.decode` reads what any version wrote as the newest one. `hindsight schemas`
writes the JSON Schemas, `hindsight asyncapi` the AsyncAPI document of a deployment.
"""


def render_markdown() -> str:
    """The dictionary, as Markdown."""
    columns = ([f"`{field.name}`", str(field.type), _ARCHIVE_COLUMNS[field.name]] for field in SCHEMA)
    rows = ([f"`{field.name}`", str(field.type), _DATASET_COLUMNS[field.name]] for field in dataset.SCHEMA)
    return "\n".join(
        [
            _HEADING,
            "## Topics\n",
            *_table(["topic", "key", "says", "types"], _topic_rows()),
            "## The archive\n",
            "Each topic is a Delta table on blob storage, `events/<topic>`, with a row for each record.\n",
            *_table(["column", "type", "says"], columns),
            "## Datasets\n",
            "`hindsight replay` writes `rows.parquet`: a row for each served prediction, by time and id.\n",
            *_table(["column", "type", "says"], rows),
            "## Types\n",
            *(line for kind in EVENT_TYPES for line in _type_section(kind)),
        ]
    )


def _topic_rows() -> Iterator[list[str]]:
    keys = {topic.name: topic.key for topic in required_topics(Settings(tasks={TASK_PLACEHOLDER: ""}))}
    for channel in CHANNELS:
        types = ", ".join(f"`{kind.type}`" for kind in channel.event_types)
        yield [f"`{channel.topic}`", keys[channel.topic], channel.description, types]


def _type_section(kind: EventType) -> Iterator[str]:
    yield f"### {kind.type}\n"
    yield f"{inspect.getdoc(kind)}\n"
    if kind.headers:
        yield from _table(["header", "says"], ([f"`{name}`", says] for name, says in kind.headers.items()))
    if issubclass(kind, EventData):
        said = event_schema(kind)
        yield from _table(["field", "type", "says"], _field_rows(said, said.get("$defs", {})))


def _field_rows(said: Mapping[str, Any], parts: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    for name, field in said["properties"].items():
        default = "" if name in said["required"] else f", by default {json.dumps(field['default'])}"
        yield [f"`{prefix}{name}`", _describe_type(field) + default, field.get("description", "")]
        if "$ref" in field:
            yield from _field_rows(parts[field["$ref"].rpartition("/")[2]], parts, f"{prefix}{name}.")


def _describe_type(said: Mapping[str, Any]) -> str:
    """A JSON Schema in words."""
    if "anyOf" in said:
        return " or ".join(_describe_type(one) for one in said["anyOf"])
    if "enum" in said:
        return " or ".join(f"`{value}`" for value in said["enum"])
    if "prefixItems" in said:
        return f"[{', '.join(_describe_type(item) for item in said['prefixItems'])}]"
    if said.get("type") == "array":
        return f"array of {_describe_type(said['items'])}"
    if isinstance(values := said.get("additionalProperties"), dict):
        keys = f" by {_describe_type(said['propertyNames'])}" if "propertyNames" in said else ""
        return f"object of {_describe_type(values)}{keys}"
    lowest = said.get("minimum", said.get("exclusiveMinimum"))
    bounds = [f"{'above' if 'exclusiveMinimum' in said else 'from'} {lowest}"] if lowest is not None else []
    bounds += [f"to {said['maximum']}"] if "maximum" in said else []
    return " ".join([said.get("type", "object"), *bounds])


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
