"""The topics: names, keys, partitions, retention; made before anything consumes."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from app.settings import MiB, Settings

DEAD_LETTERS = "dead-letters"
LIFECYCLE = "lifecycle"
UNLIMITED_RETENTION = "-1"
SEGMENT_MS = 24 * 3600 * 1000
"""Kafka deletes whole segments, and never the one that is written to: a day is how long what is erased may stay."""


log = logging.getLogger(__name__)


def requests(task: str) -> str:
    """The topic that applications publish requests to; key: the entity or the request's id."""
    return f"{task}.requests"


def features(task: str) -> str:
    """The topic of preprocessed requests; key: the request's."""
    return f"{task}.features"


def predictions(task: str) -> str:
    """The topic that applications read answers from; key: the request's."""
    return f"{task}.predictions"


def feedback(task: str) -> str:
    """The topic of corrections and rewards; key: the prediction's id."""
    return f"{task}.feedback"


def shadow_predictions(task: str) -> str:
    """The topic of what shadow versions say; key: the request's."""
    return f"{task}.shadow-predictions"


def outcomes(task: str) -> str:
    """The topic of predictions joined with their feedback; key: the prediction's id."""
    return f"{task}.outcomes"


def joins(task: str) -> str:
    """The internal topic of predictions and feedback, repartitioned; key: the prediction's id. Not archived."""
    return f"{task}.joins"


def archived_topics(tasks: Iterable[str]) -> list[str]:
    """Every topic that is part of the log: the internal ones, which can be made again from the others, are not."""
    kinds = (requests, features, predictions, shadow_predictions, feedback, outcomes)
    return [kind(task) for task in tasks for kind in kinds] + [LIFECYCLE, DEAD_LETTERS]


def max_message_bytes(settings: Settings) -> int:
    """The largest message on any topic: a dead letter takes what any source takes, with the headers that say why."""
    return 4 * settings.max_payload_bytes


def max_features_bytes(settings: Settings) -> int:
    """The largest message on a features topic."""
    return 2 * settings.max_payload_bytes


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be. Kafka never forgets by age: events go only once they are archived."""

    name: str
    key: str
    partitions: int
    max_message_bytes: int

    @property
    def configs(self) -> dict[str, str]:
        """Kafka's topic configuration."""
        return {
            "retention.ms": UNLIMITED_RETENTION,
            "retention.bytes": UNLIMITED_RETENTION,
            "segment.ms": str(SEGMENT_MS),
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }


def required_topics(settings: Settings) -> list[TopicSpec]:
    """Every topic of this deployment."""
    payload, partitions = settings.max_payload_bytes, settings.partitions
    topics = [
        TopicSpec(DEAD_LETTERS, "the original key", 1, max_message_bytes(settings)),
        TopicSpec(LIFECYCLE, "task", 1, MiB),
    ]
    for task in settings.tasks:
        topics += [
            TopicSpec(requests(task), "entity or request id", partitions, payload),
            TopicSpec(features(task), "the request's key", partitions, max_features_bytes(settings)),
            TopicSpec(predictions(task), "the request's key", partitions, MiB),
            TopicSpec(shadow_predictions(task), "the request's key", partitions, MiB),
            TopicSpec(feedback(task), "prediction id", partitions, MiB),
            TopicSpec(joins(task), "prediction id", partitions, 2 * MiB),
            TopicSpec(outcomes(task), "prediction id", partitions, 4 * MiB),
        ]
    return topics
