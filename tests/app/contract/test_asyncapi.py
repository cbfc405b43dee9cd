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
"""The JSON Schema of AsyncAPI 3.0.0, as its authors publish it; see NOTICE beside it."""


@pytest.fixture(scope="module")
def config() -> Settings:
    tasks = {"letters": "tests.support.tasks:Letters"}
    return Settings(tasks=tasks, partitions=3, replication=2, kafka_bootstrap="one:9092,two:9093")


@pytest.fixture(scope="module")
def document(config: Settings) -> dict[str, Any]:
    return asyncapi.build_document(config, {"letters": Letters()})


def references(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        yield from [said["$ref"]] if isinstance(said.get("$ref"), str) else []
        said = list(said.values())
    if isinstance(said, list):
        for value in said:
            yield from references(value)


def test_the_document_is_valid_by_the_official_schema(document: dict[str, Any]) -> None:
    assert [error.message for error in OFFICIAL.iter_errors(json.loads(json.dumps(document)))] == []


def test_the_official_schema_refuses_what_is_wrong_deep_inside(document: dict[str, Any]) -> None:
    wrong = deepcopy(document)
    wrong["channels"]["lifecycle"]["bindings"]["kafka"]["partitions"] = "one"
    assert not OFFICIAL.is_valid(wrong)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


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
        },
        "bindingVersion": "0.5.0",
    }


def test_a_channel_names_its_types_and_its_key(document: dict[str, Any]) -> None:
    channel = document["channels"]["letters.predictions"]
    assert channel["messages"].keys() == {"PredictionMade", "PredictionFailed"}
    assert "Key: the request's key." in channel["description"]


def test_the_channel_of_predictions_shows_the_tasks_output(document: dict[str, Any]) -> None:
    shown = {name for name, channel in document["channels"].items() if '{"sum": 294.0}' in channel["description"]}
    assert shown == {"letters.predictions"}


def test_an_application_sends_requests_and_feedback_and_receives_all_else(document: dict[str, Any]) -> None:
    does = {
        operation["channel"]["$ref"].removeprefix("#/channels/"): operation["action"]
        for operation in document["operations"].values()
    }
    assert {name for name, action in does.items() if action == "send"} == {"letters.requests", "letters.feedback"}
    assert does.keys() == document["channels"].keys()


def test_every_broker_is_a_server(document: dict[str, Any]) -> None:
    assert [server["host"] for server in document["servers"].values()] == ["one:9092", "two:9093"]


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_an_event_as_it_is_in_kafka_is_valid_by_its_message(document: dict[str, Any], kind: type) -> None:
    message = document["components"]["messages"][kind.__name__]
    headers, value = read_example(message["name"])
    texts = {name: text.decode() for name, text in headers}
    assert Draft7Validator(message["headers"]).is_valid(texts)
    assert message.get("contentType", texts["content-type"]) == texts["content-type"]
    if "payload" in message:
        payload = Draft7Validator({"allOf": [message["payload"]], "components": document["components"]})
        assert payload.is_valid(json.loads(value))
        assert not payload.is_valid({})


def test_what_applications_send_needs_no_headers(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    free = {name for name, message in messages.items() if Draft7Validator(message["headers"]).is_valid({})}
    assert free == {"PredictionRequested", "FeedbackGiven"}
