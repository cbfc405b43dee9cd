import shlex
from itertools import pairwise

import yaml

from app.kafka import manifests
from app.kafka.access_rules import rules
from app.settings import Settings

TASKS = {"ocr": "models.small.ocr:Ocr", "object_detection": "models.small.object_detection:ObjectDetection"}


def test_the_lines_and_the_resources_give_the_same_rights() -> None:
    settings = Settings(tasks=TASKS, kafka_bootstrap="kafka:9092")
    by_line = {
        (words[i + 1], operation, name)
        for words in map(shlex.split, manifests.acl_lines(settings))
        for i in [words.index("--allow-principal")]
        for operation in values(words, "--operation")
        for flag in ("--topic", "--group", "--transactional-id")
        for name in values(words, flag)
    }
    expected = {
        (entry.principal, entry.operation, entry.name) for entries in rules(settings).values() for entry in entries
    }
    users = [resource for resource in resources(settings) if resource["kind"] == "KafkaUser"]
    by_resource = {
        (f"User:{user['metadata']['name']}", operation, acl["resource"]["name"])
        for user in users
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    }
    assert by_line == expected
    assert by_resource == {(user.replace("_", "-"), *rest) for user, *rest in expected}


def values(words: list[str], flag: str) -> list[str]:
    return [after for word, after in pairwise(words) if word == flag]


def resources(settings: Settings) -> list[dict]:  # type: ignore[type-arg]
    return list(yaml.safe_load_all(manifests.strimzi_document(settings, "main")))


def test_a_topic_of_strimzi_has_a_legal_name_and_survives_the_loss_of_a_broker() -> None:
    settings = Settings(tasks=TASKS, kafka_bootstrap="kafka:9092")
    topic = next(r for r in resources(settings) if r["spec"].get("topicName") == "object_detection.requests")
    assert topic["metadata"] == {"name": "object-detection.requests", "labels": {"strimzi.io/cluster": "main"}}
    assert (topic["spec"]["replicas"], topic["spec"]["config"]["min.insync.replicas"]) == (3, "2")


def test_only_the_applications_of_a_task_reach_its_topics_and_none_writes_predictions() -> None:
    entries = rules(Settings(tasks=TASKS))["hindsight-application-ocr"]
    assert {(entry.name, entry.operation) for entry in entries if entry.resource == "Topic"} == {
        ("ocr.requests", "Write"),
        ("ocr.feedback", "Write"),
        ("ocr.predictions", "Read"),
    }
