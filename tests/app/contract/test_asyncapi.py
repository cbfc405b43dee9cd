import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from app.contract import asyncapi
from app.events.decoding import EVENT_TYPES
from app.events.topics import SEGMENT_MS, archived_topics
from app.settings import MiB, Settings
from tests.support.event_strategies import read_example
from tests.support.tasks import Letters

OFFICIAL = Draft7Validator(json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text()))
"""The JSON Schema of AsyncAPI 3.0.0, as published by its authors; see NOTICE beside it."""


@pytest.fixture(scope="module")
def settings() -> Settings:
    tasks = {"letters": "tests.support.tasks:Letters"}
    return Settings(tasks=tasks, partitions=3, replication=2, kafka_bootstrap="first:9092,second:9093")


@pytest.fixture(scope="module")
def document(settings: Settings) -> dict[str, Any]:
    return asyncapi.build_document(settings, {"letters": Letters()})


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_valid_by_the_official_schema(document: dict[str, Any]) -> None:
    assert [error.message for error in OFFICIAL.iter_errors(json.loads(json.dumps(document)))] == []


def test_the_official_schema_rejects_a_deeply_nested_error(document: dict[str, Any]) -> None:
    wrong = deepcopy(document)
    wrong["channels"]["lifecycle"]["bindings"]["kafka"]["partitions"] = "one"
    assert not OFFICIAL.is_valid(wrong)


def test_every_reference_has_a_target(document: dict[str, Any]) -> None:
    for reference in references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_the_channels_are_the_topics_of_the_deployments_log(document: dict[str, Any]) -> None:
    assert document["channels"].keys() == set(archived_topics(["letters"]))
    assert document["channels"]["letters.requests"]["bindings"]["kafka"] == {
        "partitions": 3,
        "replicas": 2,
        "topicConfiguration": {
            "cleanup.policy": ["delete"],
            "retention.ms": -1,
            "retention.bytes": -1,
            "segment.ms": SEGMENT_MS,
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": 8 * MiB,
            "min.insync.replicas": 1,
        },
        "bindingVersion": "0.5.0",
    }


def test_a_channel_names_its_types_and_its_key(document: dict[str, Any]) -> None:
    channel = document["channels"]["letters.predictions"]
    assert channel["messages"].keys() == {"PredictionMade", "PredictionFailed"}
    assert "Key: the request's key." in channel["description"]


def test_the_channel_of_predictions_shows_the_tasks_output(document: dict[str, Any]) -> None:
    channels_with_an_example = {
        name for name, channel in document["channels"].items() if '{"sum": 294.0}' in channel["description"]
    }
    assert channels_with_an_example == {"letters.predictions"}


def test_an_application_sends_requests_and_feedback_and_receives_all_else(document: dict[str, Any]) -> None:
    actions = {
        operation["channel"]["$ref"].removeprefix("#/channels/"): operation["action"]
        for operation in document["operations"].values()
    }
    assert {name for name, action in actions.items() if action == "send"} == {"letters.requests", "letters.feedback"}
    assert actions.keys() == document["channels"].keys()


def test_every_broker_is_a_server(document: dict[str, Any]) -> None:
    assert [server["host"] for server in document["servers"].values()] == ["first:9092", "second:9093"]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_event_in_kafka_is_valid_by_its_message(document: dict[str, Any], event_type: type) -> None:
    message = document["components"]["messages"][event_type.__name__]
    headers, value = read_example(message["name"])
    texts = {name: text.decode() for name, text in headers}
    assert Draft7Validator(message["headers"]).is_valid(texts)
    assert message.get("contentType", texts["content-type"]) == texts["content-type"]
    if "payload" in message:
        payload = Draft7Validator({"allOf": [message["payload"]], "components": document["components"]})
        assert payload.is_valid(json.loads(value))
        assert not payload.is_valid({})


def test_messages_of_applications_need_no_headers(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    free = {name for name, message in messages.items() if Draft7Validator(message["headers"]).is_valid({})}
    assert free == {"PredictionRequested", "FeedbackGiven", "FeedbackRetracted"}
