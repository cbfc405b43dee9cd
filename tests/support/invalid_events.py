"""Invalid events on `lifecycle`: no part of the platform writes them, and none may fail when it reads them."""

import json
from typing import Any

from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import Record
from app.events.lifecycle import RetrainingTriggered, TaskFrozen
from app.events.model_events import DatasetBuilt, ModelRegistered, RouteChanged

LONG_NUMBER = "9" * 5_000
_REGISTERED_DATA = {"artifact": "blob://sha256/1", "card": {}, "preprocess_version": "1"}
_ROUTE_DATA = {"action": "promote", "champion": "1", "reason": "poison", "actor": "nobody"}
_TRIGGERED_DATA = {"run_id": "run", "trigger": "manual", "evidence": {}, "champion": "1"}
_DATASET_DATA = {"content_hash": "h", "location": "file:///d", "rows": 1, "manifest": {}}

INVALID_EVENTS: dict[str, tuple[type[EventData], dict[str, Any]]] = {
    "a version of 5,000 digits": (
        ModelRegistered,
        {**_REGISTERED_DATA, "model": {"name": "%", "version": LONG_NUMBER}},
    ),
    "a version that is a path": (ModelRegistered, {**_REGISTERED_DATA, "model": {"name": "%", "version": "../1"}}),
    "a version that is no number": (ModelRegistered, {**_REGISTERED_DATA, "model": {"name": "%", "version": "one"}}),
    "a version in other digits": (ModelRegistered, {**_REGISTERED_DATA, "model": {"name": "%", "version": "\u0663"}}),
    "a champion of 5,000 digits": (RouteChanged, {**_ROUTE_DATA, "champion": LONG_NUMBER}),
    "a canary that is a path": (RouteChanged, {**_ROUTE_DATA, "canary": "../1", "canary_share": 0.5}),
    "very many shadows": (RouteChanged, {**_ROUTE_DATA, "shadows": ["1"] * 101}),
    "a run's id that leaves the home": (RetrainingTriggered, {**_TRIGGERED_DATA, "run_id": "../../escaped-run"}),
    "a run's id that is absolute": (RetrainingTriggered, {**_TRIGGERED_DATA, "run_id": "/tmp/escaped-run"}),
    "a run's id with a NUL": (RetrainingTriggered, {**_TRIGGERED_DATA, "run_id": "a\0b"}),
    "an actor of a megabyte": (TaskFrozen, {"frozen": True, "reason": "poison", "actor": "x" * 1_000}),
    "more rows than a database counts": (DatasetBuilt, {**_DATASET_DATA, "rows": 10**30}),
    "a hash that is too long for a key": (DatasetBuilt, {**_DATASET_DATA, "content_hash": "h" * 5_000}),
}
"""The type and data of an event, by what is wrong with it. A percent sign stands for the task."""


def invalid_records(task: str) -> list[Record]:
    """Return each of them as a record of a task, and some that are not JSON or have a time out of range."""
    records = [_record(task, kind, data) for kind, data in INVALID_EVENTS.values()]
    records.append(_record(task, RouteChanged, _ROUTE_DATA, time="0001-01-01T00:00:00+14:00"))
    records.append(_record(task, RouteChanged, {**_ROUTE_DATA, "champion": "999", "shadows": ["998"]}))
    for value in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, None):
        records.append(Record(topics.LIFECYCLE, task.encode(), value, _headers(RouteChanged.type)))
    records.append(Record(topics.LIFECYCLE, b"\xff", b"{}", (("ce_type", b"\xff\xfe"),)))
    return records


def _record(task: str, kind: type[EventData], data: dict[str, Any], time: str = "2026-01-31T12:00:00Z") -> Record:
    value = json.dumps({"task": task, **data}).replace('"%"', json.dumps(task)).encode()
    return Record(topics.LIFECYCLE, task.encode(), value, _headers(kind.type, time))


def _headers(kind: str, time: str = "2026-01-31T12:00:00Z") -> tuple[tuple[str, bytes], ...]:
    return (("ce_type", kind.encode()), ("ce_time", time.encode()), ("ce_source", b"poison"))
