"""Topics and access rules for other tools: `kafka-acls.sh` lines, and resources of the Strimzi operator."""

import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from app.events.topics import required_topics
from app.kafka.access_rules import rules
from app.kafka.admin_requests import AclEntry
from app.settings import Settings

_FLAGS = {"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id", "Cluster": "--cluster"}
_API_VERSION = "kafka.strimzi.io/v1"


def acl_lines(settings: Settings) -> list[str]:
    """Return commands that give each user its rights, one for all that it may do with the same resources."""
    lines = []
    for user, entries in rules(settings).items():
        for (resource, prefixed, operations), names in _by_rights(entries).items():
            words = ["kafka-acls.sh", "--bootstrap-server", settings.bootstrap, "--command-config", "admin.properties"]
            words += ["--add", "--allow-principal", f"User:{user}"]
            words += [word for operation in operations for word in ("--operation", operation)]
            words += ["--resource-pattern-type", "prefixed"] if prefixed else []
            lines.append(shlex.join(words + [word for name in names for word in (_FLAGS[resource], name)]))
    return lines


def strimzi_document(settings: Settings, cluster: str) -> str:
    """Return a KafkaTopic for each topic and a KafkaUser for each user of a cluster that Strimzi runs."""
    resources = [*_topic_resources(settings, cluster), *_user_resources(settings, cluster)]
    return str(yaml.safe_dump_all(resources, sort_keys=False))


def _topic_resources(settings: Settings, cluster: str) -> Iterator[dict[str, Any]]:
    for topic in required_topics(settings):
        spec = {
            "topicName": topic.name,
            "partitions": topic.partitions,
            "replicas": settings.replication,
            "config": topic.configs,
        }
        yield _resource("KafkaTopic", topic.name, cluster, spec)


def _user_resources(settings: Settings, cluster: str) -> Iterator[dict[str, Any]]:
    for user, entries in rules(settings).items():
        acls = [
            {
                "resource": {
                    "type": resource[0].lower() + resource[1:],
                    "name": name,
                    "patternType": "prefix" if prefixed else "literal",
                },
                "operations": list(operations),
            }
            for (resource, prefixed, operations), names in _by_rights(entries).items()
            for name in names
        ]
        spec = {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
        }
        yield _resource("KafkaUser", user, cluster, spec)


def _resource(kind: str, name: str, cluster: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {
        "name": name.replace("_", "-"),
        "labels": {"strimzi.io/cluster": cluster},
    }  # Kubernetes has no _ in names
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _by_rights(entries: list[AclEntry]) -> dict[tuple[str, bool, tuple[str, ...]], list[str]]:
    """Return the names of the resources that one may do the same with."""
    operations: dict[tuple[str, bool, str], list[str]] = {}
    for entry in entries:
        operations.setdefault((entry.resource, entry.prefixed, entry.name), []).append(entry.operation)
    names: dict[tuple[str, bool, tuple[str, ...]], list[str]] = {}
    for (resource, prefixed, name), allowed in operations.items():
        names.setdefault((resource, prefixed, tuple(allowed)), []).append(name)
    return names
