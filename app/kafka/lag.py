"""Lag of the consumer groups."""

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from app.events import topics
from app.kafka import clients
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings
from app.settings.namespace import qualify

PREPROCESS_GROUP = qualify("hindsight-preprocess")
WORKER_GROUP = qualify("hindsight-worker")
ARCHIVE_GROUP = qualify("hindsight-archive")
RECORDER_GROUP = qualify("hindsight-recorder")

Lags = dict[str, dict[str, int]]
"""Group -> topic -> events that the group has not committed yet: an upper bound if there are many."""


async def fetch_deployment_lags(settings: Settings, seconds: float) -> Lags | str:
    """Return the lag of each group of a deployment, or the reason why it is not known within so many seconds."""
    required_topics = [topic.name for topic in topics.required_topics(settings)]
    groups = {
        PREPROCESS_GROUP: [topics.requests(task) for task in settings.tasks],
        WORKER_GROUP: [topics.features(task) for task in settings.tasks],
        ARCHIVE_GROUP: topics.archived_topics(settings.tasks),
        RECORDER_GROUP: [
            topic(task) for task in settings.tasks for topic in (topics.predictions, topics.feedback, topics.joins)
        ],
    }
    try:
        async with asyncio.timeout(seconds):
            return await fetch_lags(settings, required_topics, groups)
    except TimeoutError:
        return f"{settings.bootstrap} does not answer within {seconds:g} s"
    except (KafkaError, OSError) as error:
        return str(error)


async def fetch_lags(settings: Settings, required_topics: Iterable[str], groups: Mapping[str, Iterable[str]]) -> Lags:
    """Return the events that each group has not committed yet; without a commit, all since the start of the log.

    `required_topics` includes the topics of the groups. Raises UnknownTopicOrPartitionError if one of them does not
    exist, KafkaConnectionError without a broker.
    """
    admin = clients.create_admin(settings)
    consumer = clients.create_consumer(settings)
    try:
        await admin.start()
        descriptions = await admin.describe_topics(sorted(set(required_topics)))
        if missing := [topic["topic"] for topic in descriptions if topic["error_code"]]:
            raise UnknownTopicOrPartitionError(f"missing topics: {', '.join(missing)}")
        partitions = {
            topic["topic"]: [
                TopicPartition(topic["topic"], partition["partition"]) for partition in topic["partitions"]
            ]
            for topic in descriptions
        }
        assignments = {group: {topic: partitions[topic] for topic in names} for group, names in groups.items()}
        # Assign before the start: afterwards the consumer would fetch the metadata of each topic separately.
        consumer.assign([tp for assignment in assignments.values() for tps in assignment.values() for tp in tps])
        await consumer.start()
        ends = await consumer.end_offsets(consumer.assignment())
        starts = await consumer.beginning_offsets(consumer.assignment())
        committed = {group: await admin.list_consumer_group_offsets(group) for group in groups}
    finally:
        await consumer.stop()
        await admin.close()

    def uncommitted(group: str, tp: TopicPartition) -> PartitionRange:
        offset = committed[group][tp].offset if tp in committed[group] else -1
        return PartitionRange(tp, max(offset, starts[tp]), ends[tp])

    counts = await count_unread(
        settings,
        [
            uncommitted(group, tp)
            for group, assignment in assignments.items()
            for tps in assignment.values()
            for tp in tps
        ],
    )
    return {
        group: {topic: sum(counts[uncommitted(group, tp)].records for tp in tps) for topic, tps in assignment.items()}
        for group, assignment in assignments.items()
    }
