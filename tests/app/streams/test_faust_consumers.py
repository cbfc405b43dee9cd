"""Faust's consumer of record batches, on a real broker."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.events.cloudevents import ConsumedRecord
from app.settings import Settings
from tests.support.faust_agents import MAX_EVENTS, run_agent
from tests.support.kafka_clients import OutgoingRecord, publish

PARTITIONS = 2
RECORDS = 200
SECONDS = 60


@pytest.fixture
async def topic(platform: Settings, admin: AIOKafkaAdminClient) -> str:
    """A topic with records in two partitions."""
    name = f"batches-{uuid.uuid4()}"
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await publish(platform, name, [OutgoingRecord(b"value", str(key).encode()) for key in range(RECORDS)])
    return name


async def committed(admin: AIOKafkaAdminClient, topic: str) -> list[int]:
    """Return the group's offset in each partition, 0 before its first commit."""
    offsets = await admin.list_consumer_group_offsets(f"group-{topic}")
    positions = [offsets.get(TopicPartition(topic, partition)) for partition in range(PARTITIONS)]
    return [0 if position is None else max(0, position.offset) for position in positions]


async def wait_until_committed(admin: AIOKafkaAdminClient, topic: str, total: int) -> None:
    """Wait until so many records are committed in all."""
    async with asyncio.timeout(SECONDS):
        while sum(await committed(admin, topic)) < total:
            await asyncio.sleep(0.1)


def offsets_by_partition(batches: Sequence[Sequence[ConsumedRecord]]) -> list[list[int]]:
    """Return the offsets of each partition as they were first handled."""
    origins = dict.fromkeys((record.origin.partition, record.origin.offset) for batch in batches for record in batch)
    return [[offset for number, offset in origins if number == partition] for partition in range(PARTITIONS)]


async def test_records_are_handled_in_order_in_bounded_batches_and_then_committed(
    platform: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    batches: list[Sequence[ConsumedRecord]] = []

    async def handle(batch: Sequence[ConsumedRecord]) -> None:
        batches.append(batch)

    settings = platform.model_copy(update={"batch_size": MAX_EVENTS})
    async with run_agent(settings, topic, handle):
        await wait_until_committed(admin, topic, RECORDS)
    assert sum(map(len, batches)) == RECORDS
    assert max(map(len, batches)) <= MAX_EVENTS
    assert offsets_by_partition(batches) == [list(range(end)) for end in await committed(admin, topic)]


async def test_a_rebalance_amid_a_batch_loses_no_record_and_commits_none_that_is_not_handled(
    platform: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    batches: list[Sequence[ConsumedRecord]] = []
    amid, released, shared = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle_slowly(batch: Sequence[ConsumedRecord]) -> None:
        if len(batches) == 3:
            amid.set()
            await released.wait()
        batches.append(batch)

    async def handle(batch: Sequence[ConsumedRecord]) -> None:
        shared.set()
        batches.append(batch)

    settings = platform.model_copy(update={"batch_size": MAX_EVENTS})
    async with asyncio.timeout(SECONDS), run_agent(settings, topic, handle_slowly):
        await amid.wait()
        async with run_agent(settings, topic, handle):
            await shared.wait()
            handled = offsets_by_partition(batches)
            for partition, offset in enumerate(await committed(admin, topic)):
                assert handled[partition][:offset] == list(range(offset))
            released.set()
            await wait_until_committed(admin, topic, RECORDS)
    handled = offsets_by_partition(batches)
    assert handled == [list(range(end)) for end in await committed(admin, topic)]
    assert sum(map(len, handled)) == RECORDS


async def test_after_a_rebalance_a_partition_without_a_commit_is_read_from_its_beginning(
    platform: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    handling = asyncio.Event()

    async def handle_forever(batch: Sequence[ConsumedRecord]) -> None:
        handling.set()
        await asyncio.Event().wait()

    settings = platform.model_copy(update={"batch_size": MAX_EVENTS})
    async with asyncio.timeout(SECONDS), run_agent(settings, topic, handle_forever) as app:
        await handling.wait()
        consumer: Any = app.consumer
        consumer.stop_flow()
        await consumer.perform_seek()
        kafka = consumer._thread._consumer
        assert [await kafka.position(TopicPartition(topic, number)) for number in range(PARTITIONS)] == [0, 0]
