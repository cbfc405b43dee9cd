"""How far behind the end of the log the consumer groups are."""

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from app.events import topics
from app.kafka import clients
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings

PREPROCESS_GROUP = "hindsight-preprocess"
WORKER_GROUP = "hindsight-worker"
ARCHIVE_GROUP = "hindsight-archive"
RECORDER_GROUP = "hindsight-recorder"

Lags = dict[str, dict[str, int]]
"""Of each group, of each of its topics: the events that it has still to commit; of many, at most so many."""


async def fetch_deployment_lags(settings: Settings, seconds: float) -> Lags | str:
    """The lag of each group of a deployment, or why it isn't known within so many seconds."""
    needed = [topic.name for topic in topics.required_topics(settings)]
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
            return await fetch_lags(settings, needed, groups)
    except TimeoutError:
        return f"{settings.bootstrap} does not answer within {seconds:g} s"
    except (KafkaError, OSError) as error:
        return str(error)


async def fetch_lags(settings: Settings, required_topics: Iterable[str], groups: Mapping[str, Iterable[str]]) -> Lags:
    """The events that each group has still to commit.

    `needed` are those topics that must exist, the groups' among them: raises UnknownTopicOrPartitionError for one that
    doesn't, KafkaConnectionError without a broker. What a group has never committed counts from the log's start.
    """
    admin = clients.create_admin(settings)
    consumer = clients.create_consumer(settings)
    try:
        await admin.start()
        described = await admin.describe_topics(sorted(set(required_topics)))
        if missing := [topic["topic"] for topic in described if topic["error_code"]]:
            raise UnknownTopicOrPartitionError(f"missing topics: {', '.join(missing)}")
        partitions = {
            topic["topic"]: [
                TopicPartition(topic["topic"], partition["partition"]) for partition in topic["partitions"]
            ]
            for topic in described
        }
        wanted = {group: {topic: partitions[topic] for topic in of} for group, of in groups.items()}
        # Assigned before it starts: it would ask for the metadata of each topic alone.
        consumer.assign([tp for of in wanted.values() for tps in of.values() for tp in tps])
        await consumer.start()
        ends = await consumer.end_offsets(consumer.assignment())
        starts = await consumer.beginning_offsets(consumer.assignment())
        committed = {group: await admin.list_consumer_group_offsets(group) for group in groups}
    finally:
        await consumer.stop()
        await admin.close()

    def waiting(group: str, tp: TopicPartition) -> PartitionRange:
        offset = committed[group][tp].offset if tp in committed[group] else -1
        return PartitionRange(tp, max(offset, starts[tp]), ends[tp])

    found = await count_unread(
        settings, [waiting(group, tp) for group, of in wanted.items() for tps in of.values() for tp in tps]
    )
    return {
        group: {topic: sum(found[waiting(group, tp)].records for tp in tps) for topic, tps in of.items()}
        for group, of in wanted.items()
    }
