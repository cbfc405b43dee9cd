"""The topics: names, keys, partitions, retention. Each name is in the namespace of the deployment."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.settings import MiB, Settings
from app.settings.namespace import NAMESPACE, qualify

DEAD_LETTERS = qualify("dead-letters")
LIFECYCLE = qualify("lifecycle")
UNLIMITED_RETENTION = "-1"
SEGMENT_MS = 24 * 3600 * 1000
"""One day. Kafka deletes whole segments, never the active one: erased data may stay in Kafka for this long."""


def requests(task: str, namespace: str = NAMESPACE) -> str:
    """Return the topic that applications publish requests to; key: the entity or the request's id."""
    return qualify(f"{task}.requests", namespace)


def features(task: str) -> str:
    """Return the topic of preprocessed requests; key: the request's."""
    return qualify(f"{task}.features")


def predictions(task: str, namespace: str = NAMESPACE) -> str:
    """Return the topic that applications read answers from; key: the request's."""
    return qualify(f"{task}.predictions", namespace)


def feedback(task: str, namespace: str = NAMESPACE) -> str:
    """Return the topic of corrections and rewards; key: the prediction's id."""
    return qualify(f"{task}.feedback", namespace)


def shadow_predictions(task: str) -> str:
    """Return the topic of the predictions of shadow versions; key: the request's."""
    return qualify(f"{task}.shadow-predictions")


def outcomes(task: str) -> str:
    """Return the topic of predictions joined with their feedback; key: the prediction's id."""
    return qualify(f"{task}.outcomes")


def joins(task: str) -> str:
    """Return the internal topic of repartitioned predictions and feedback, not archived; key: the prediction's id."""
    return qualify(f"{task}.joins")


def task_of(topic: str) -> str:
    """Return the task of a topic of this namespace; empty if it is no task's."""
    return topic.removeprefix(qualify("")).rpartition(".")[0]


def is_written_by_applications(topic: str) -> bool:
    """Return whether applications write to this topic, not the platform's processes alone."""
    return topic.endswith((".requests", ".feedback"))


def archived_topics(tasks: Iterable[str]) -> list[str]:
    """Return every topic that is part of the log. Internal topics are not: they can be rebuilt from the others."""
    kinds = (requests, features, predictions, shadow_predictions, feedback, outcomes)
    return [kind(task) for task in tasks for kind in kinds] + [LIFECYCLE, DEAD_LETTERS]


def max_message_bytes(settings: Settings) -> int:
    """Return the size of the largest message on any topic: a dead letter with the largest payload and its headers."""
    return 4 * settings.max_payload_bytes


def max_features_bytes(settings: Settings) -> int:
    """Return the size of the largest message on a features topic."""
    return 2 * settings.max_payload_bytes


@dataclass(frozen=True)
class TopicSpec:
    """The configuration of a topic. Kafka deletes nothing by age: events are deleted only once they are archived."""

    name: str
    key: str
    partitions: int
    max_message_bytes: int
    min_insync_replicas: int = 1

    @property
    def configs(self) -> dict[str, str]:
        """Return Kafka's topic configuration."""
        return {
            "retention.ms": UNLIMITED_RETENTION,
            "retention.bytes": UNLIMITED_RETENTION,
            "segment.ms": str(SEGMENT_MS),
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(self.min_insync_replicas),
        }


def required_topics(settings: Settings) -> list[TopicSpec]:
    """Return every topic of this deployment."""
    payload, partitions = settings.max_payload_bytes, settings.partitions
    specs = [
        TopicSpec(DEAD_LETTERS, "the original key", 1, max_message_bytes(settings)),
        TopicSpec(LIFECYCLE, "task", 1, MiB),
    ]
    for task in settings.tasks:
        specs += [
            TopicSpec(requests(task), "entity or request id", partitions, payload),
            TopicSpec(features(task), "the request's key", partitions, max_features_bytes(settings)),
            TopicSpec(predictions(task), "the request's key", partitions, MiB),
            TopicSpec(shadow_predictions(task), "the request's key", partitions, MiB),
            TopicSpec(feedback(task), "prediction id", partitions, MiB),
            TopicSpec(joins(task), "prediction id", partitions, 2 * MiB),
            TopicSpec(outcomes(task), "prediction id", partitions, 4 * MiB),
        ]
    return [replace(spec, min_insync_replicas=settings.min_insync_replicas) for spec in specs]
