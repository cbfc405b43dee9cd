"""Unread records of a group, in a log with transactions."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from app.events import topics
from app.kafka import clients, provisioning, reader, unread_count
from app.kafka.lag import WORKER_GROUP, fetch_lags
from app.kafka.unread_count import PartitionRange, UnreadCount
from app.preprocess.sessions.log_clock import check_committed
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish

TASKS = {"unread": "tests.support.tasks:Letters"}
REQUESTS = topics.requests("unread")


@pytest.fixture(scope="module")
async def settings(platform: Settings) -> Settings:
    settings = platform.model_copy(update={"tasks": TASKS, "partitions": 1})
    await provisioning.provision(settings)
    return settings


@pytest.fixture
async def transactional_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    async with clients.create_producer(settings, transactional_id="shop") as producer:
        yield producer


async def log_range(settings: Settings) -> PartitionRange:
    """Return the range of all records that the log holds."""
    [(tp, offsets)] = (await reader.fetch_offset_ranges(settings, [REQUESTS])).items()
    return PartitionRange(tp, offsets.begin, offsets.end)


async def log_range_to(settings: Settings, end: int) -> PartitionRange:
    """Return the range of all records once the log ends there: a transaction is stable a moment after its end."""
    async with asyncio.timeout(10):
        while (offsets := await log_range(settings)).end < end:
            await asyncio.sleep(0.05)
    return offsets


async def count_in(settings: Settings, offsets: PartitionRange) -> UnreadCount:
    unread_count._empty_ranges.clear()
    return (await unread_count.count_unread(settings, [offsets]))[offsets]


async def write_transaction(producer: AIOKafkaProducer, *, commit: bool, count: int = 1) -> None:
    await producer.begin_transaction()
    for _ in range(count):
        await producer.send_and_wait(REQUESTS, b"{}")
    await (producer.commit_transaction() if commit else producer.abort_transaction())


async def test_neither_markers_nor_aborted_records_count_as_unread(
    settings: Settings, transactional_producer: AIOKafkaProducer
) -> None:
    start = (await log_range(settings)).end
    await write_transaction(transactional_producer, commit=True, count=3)
    committed = (await log_range_to(settings, start + 4))._replace(start=start)
    assert committed.end - start == 4
    assert await count_in(settings, committed) == UnreadCount(start, 3)
    assert await count_in(settings, committed._replace(start=start + 3)) == UnreadCount(committed.end, 0)
    await write_transaction(transactional_producer, commit=False, count=2)
    aborted = (await log_range_to(settings, start + 7))._replace(start=start + 3)
    assert await count_in(settings, aborted) == UnreadCount(aborted.end, 0)
    await publish(settings, REQUESTS, [OutgoingRecord(b"{}")])
    extended = (await log_range(settings))._replace(start=start + 3)
    assert await count_in(settings, extended) == UnreadCount(extended.end - 1, 1)


async def test_records_of_an_open_transaction_do_not_count_until_it_is_committed(
    settings: Settings, transactional_producer: AIOKafkaProducer
) -> None:
    before = await log_range(settings)
    await transactional_producer.begin_transaction()
    await transactional_producer.send_and_wait(REQUESTS, b"{}")
    await publish(settings, REQUESTS, [OutgoingRecord(b"{}")])
    assert await log_range(settings) == before
    await transactional_producer.commit_transaction()
    after = (await log_range_to(settings, before.end + 3))._replace(start=before.end)
    assert await count_in(settings, after) == UnreadCount(before.end, 2)


async def test_many_unread_records_are_all_counted(settings: Settings) -> None:
    start = (await log_range(settings)).end
    await publish(settings, REQUESTS, [OutgoingRecord(bytes(1000))] * 500)
    offsets = (await log_range(settings))._replace(start=start)
    assert await count_in(settings, offsets) == UnreadCount(start, 500)


async def test_a_range_that_was_found_empty_is_not_read_again(
    settings: Settings, transactional_producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (await log_range(settings)).end
    await write_transaction(transactional_producer, commit=False)
    empty = (await log_range_to(settings, start + 2))._replace(start=start)
    assert await count_in(settings, empty) == UnreadCount(empty.end, 0)
    monkeypatch.setattr(unread_count, "clients", None)  # no consumer can be created
    assert (await unread_count.count_unread(settings, [empty]))[empty] == UnreadCount(empty.end, 0)


async def test_the_lag_and_the_clock_of_sessions_reach_the_end_behind_aborted_records(
    settings: Settings, transactional_producer: AIOKafkaProducer
) -> None:
    group = "unread-group"
    tp = TopicPartition(REQUESTS, 0)
    await write_transaction(transactional_producer, commit=True)
    await write_transaction(transactional_producer, commit=False)
    last = (await log_range(settings)).end - 4  # the record, its marker, the aborted record, its marker

    async def lag() -> int:
        return (await fetch_lags(settings, [REQUESTS], {group: [REQUESTS], WORKER_GROUP: []}))[group][REQUESTS]

    consumer = clients.create_consumer(settings, group_id=group)
    consumer.assign([tp])
    await consumer.start()
    try:
        await consumer.commit({tp: last})
        assert await lag() == 1
        ends, complete = await check_committed(settings, group, REQUESTS, None)
        assert (ends, complete) == ({tp: last + 4}, False)
        await consumer.commit({tp: last + 1})
        assert await lag() == 0
        assert await check_committed(settings, group, REQUESTS, ends) == (ends, True)
    finally:
        await consumer.stop()
