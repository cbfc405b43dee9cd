"""Offsets of topics that are deleted and created again, on a real broker."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata

from app.events.cloudevents import ConsumedRecord, TopicId
from app.kafka import clients
from app.kafka.topic_ids import fetch_topic_ids
from app.settings import Settings
from tests.support.faust_agents import run_agent
from tests.support.kafka_clients import OutgoingRecord, publish

PARTITIONS = 2
RECORDS = 10
SECONDS = 60


@pytest.fixture
async def topic(platform: Settings, admin: AIOKafkaAdminClient) -> str:
    """A topic with records in its first partition."""
    name = f"offsets-{uuid.uuid4()}"
    await create(platform, admin, name)
    return name


async def create(settings: Settings, admin: AIOKafkaAdminClient, topic: str) -> None:
    """Create a topic with records in one partition."""
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await publish(settings, topic, [OutgoingRecord(b"value", b"key")] * RECORDS)


async def ignore(batch: Sequence[ConsumedRecord]) -> None:
    """Handle nothing."""


async def wait_until_known(consumer: Any, topic_ids: dict[str, TopicId]) -> None:
    """Wait until the consumer has sought offsets of these topics."""
    async with asyncio.timeout(SECONDS):
        while consumer._topic_ids != topic_ids:
            await asyncio.sleep(0.05)


async def test_an_event_of_a_deleted_topic_that_is_acknowledged_late_skips_no_record_of_the_new_topic(
    platform: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    handled: list[ConsumedRecord] = []
    amid, released = asyncio.Event(), asyncio.Event()

    async def handle(batch: Sequence[ConsumedRecord]) -> None:
        amid.set()
        await released.wait()
        handled.extend(batch)

    async with asyncio.timeout(SECONDS), run_agent(platform, topic, handle, consumer_metadata_max_age_ms=200) as app:
        await amid.wait()
        consumer: Any = app.consumer
        [old_batch] = {batch.tp.partition: batch for batch in consumer.unacked}.values()
        await admin.delete_topics([topic])
        await wait_until_known(consumer, {})
        await create(platform, admin, topic)
        new_ids = await fetch_topic_ids(platform, [topic])
        await wait_until_known(consumer, new_ids)
        consumer.ack(old_batch)
        await consumer.commit()
        assert await admin.list_consumer_group_offsets(f"group-{topic}") == {}
        released.set()
        while sum(record.origin.topic_id == new_ids[topic] for record in handled) < RECORDS:
            await asyncio.sleep(0.05)
    assert [record.origin.offset for record in handled if record.origin.topic_id == new_ids[topic]] == [*range(RECORDS)]


async def test_a_committed_offset_of_another_topic_of_the_cluster_is_ignored(
    platform: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    topic_ids = await fetch_topic_ids(platform, [topic])
    cluster, _, _ = topic_ids[topic].rpartition("/")
    commits = {
        TopicPartition(topic, 0): OffsetAndMetadata(3, f"{cluster}/{uuid.uuid4()}"),
        TopicPartition(topic, 1): OffsetAndMetadata(4, ""),
    }
    other = clients.create_consumer(platform, group_id=f"group-{topic}")
    async with other:
        other.assign(list(commits))
        await other.commit(commits)
    async with asyncio.timeout(SECONDS), run_agent(platform, topic, ignore) as app:
        await wait_until_known(app.consumer, topic_ids)
        consumer: Any = app.consumer
        assert await consumer._seek_to_known_topics() == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 4}


async def test_an_offset_is_committed_with_the_id_of_its_topic(
    platform: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    [topic_id] = (await fetch_topic_ids(platform, [topic])).values()
    async with asyncio.timeout(SECONDS), run_agent(platform, topic, ignore):
        while not (commits := await admin.list_consumer_group_offsets(f"group-{topic}")):
            await asyncio.sleep(0.05)
    assert {commit.metadata for commit in commits.values()} == {topic_id}


async def test_a_consumer_that_finds_another_topic_of_the_name_joins_its_group_again(
    platform: Settings, topic: str
) -> None:
    topic_ids = await fetch_topic_ids(platform, [topic])
    async with asyncio.timeout(SECONDS), run_agent(platform, topic, ignore) as app:
        consumer: Any = app.consumer
        await wait_until_known(consumer, topic_ids)
        consumer._topic_ids = {topic: TopicId("another")}
        await consumer._check_topic_ids()
        await wait_until_known(consumer, topic_ids)
        assert app.rebalancing_count == 2
