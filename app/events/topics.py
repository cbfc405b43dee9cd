"""The topics: names, keys, partitions, retention; made before anything consumes."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.kafka import clients
from app.settings import MiB, Settings

DEAD_LETTERS = "dead-letters"
LIFECYCLE = "lifecycle"
FOREVER = "-1"
SEGMENT_MS = 24 * 3600 * 1000
"""Kafka deletes whole segments, and never the one that is written to: a day is how long what is erased may stay."""

_POLL_SECONDS = 0.3

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


def archived(tasks: Iterable[str]) -> list[str]:
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
class Topic:
    """A topic as it should be. Kafka never forgets by age: events go only once they are archived."""

    name: str
    key: str
    partitions: int
    max_message_bytes: int

    @property
    def configs(self) -> dict[str, str]:
        """Kafka's topic configuration."""
        return {
            "retention.ms": FOREVER,
            "retention.bytes": FOREVER,
            "segment.ms": str(SEGMENT_MS),
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }


def wanted(settings: Settings) -> list[Topic]:
    """Every topic of this deployment."""
    payload, partitions = settings.max_payload_bytes, settings.partitions
    topics = [
        Topic(DEAD_LETTERS, "the original key", 1, max_message_bytes(settings)),
        Topic(LIFECYCLE, "task", 1, MiB),
    ]
    for task in settings.tasks:
        topics += [
            Topic(requests(task), "entity or request id", partitions, payload),
            Topic(features(task), "the request's key", partitions, max_features_bytes(settings)),
            Topic(predictions(task), "the request's key", partitions, MiB),
            Topic(shadow_predictions(task), "the request's key", partitions, MiB),
            Topic(feedback(task), "prediction id", partitions, MiB),
            Topic(joins(task), "prediction id", partitions, 2 * MiB),
            Topic(outcomes(task), "prediction id", partitions, 4 * MiB),
        ]
    return topics


async def provision(settings: Settings) -> list[str]:
    """Make the topics that are missing; return a line for each existing one that differs from what is wanted.

    Idempotent, and safe to run from several processes at once. An existing topic is never changed.
    """
    admin = clients.admin(settings)
    await admin.start()
    try:
        topics = wanted(settings)
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        if missing:
            await _create(admin, missing, settings.replication)
        return await _differences(admin, [topic for topic in topics if topic.name in existing])
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: Iterable[Topic], replication: int) -> None:
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.configs) for topic in topics]
    )
    for name, code, *details in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise KafkaError(f"topic {name!r} could not be made: {error.__name__}: {' '.join(map(str, details))}")


async def _differences(admin: AIOKafkaAdminClient, topics: list[Topic]) -> list[str]:
    if not topics:
        return []
    lines = []
    partitions = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics([t.name for t in topics])}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics])
    configs = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for response in responses
        for resource in response.resources
    }
    for topic in topics:
        if partitions[topic.name] != topic.partitions:
            lines.append(f"topic {topic.name} has {partitions[topic.name]} partitions, not {topic.partitions}")
        for name, value in topic.configs.items():
            if (found := configs[topic.name].get(name)) != value:
                lines.append(f"topic {topic.name} has {name}={found}, not {value}")
    return lines


async def wait_provisioned(settings: Settings) -> None:
    """Return once the broker answers and every topic is there: whoever consumes calls this first."""
    names = {topic.name for topic in wanted(settings)}
    waited = False
    while True:
        admin = clients.admin(settings)
        try:
            await admin.start()
            if names <= set(await admin.list_topics()):
                return
            reason = "its topics are not there yet"
        except (KafkaError, OSError) as error:
            reason = str(error)
        finally:
            await admin.close()
        if not waited:
            log.info("waiting for Kafka at %s: %s", settings.bootstrap, reason)
            waited = True
        await asyncio.sleep(_POLL_SECONDS)
