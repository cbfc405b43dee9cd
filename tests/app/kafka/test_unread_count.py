"""What waits for a group, in logs with transactions."""

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

TASKS = {"waited": "tests.support.tasks:Letters"}


@pytest.fixture(scope="module")
async def settings(platform: Settings) -> Settings:
    made = platform.model_copy(update={"tasks": TASKS, "partitions": 1})
    await provisioning.provision(made)
    return made


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """An application that writes in transactions."""
    async with clients.create_producer(settings, transactional_id="shop") as producer:
        yield producer


async def held(settings: Settings) -> PartitionRange:
    [(tp, one)] = (await reader.fetch_offset_ranges(settings, [topics.requests("waited")])).items()
    return PartitionRange(tp, one.begin, one.end)


async def of(settings: Settings, one: PartitionRange) -> UnreadCount:
    unread_count._empty_ranges.clear()
    return (await unread_count.count_unread(settings, [one]))[one]


async def transaction(shop: AIOKafkaProducer, *, commit: bool, count: int = 1) -> None:
    await shop.begin_transaction()
    for _ in range(count):
        await shop.send_and_wait(topics.requests("waited"), b"{}")
    await (shop.commit_transaction() if commit else shop.abort_transaction())


async def test_neither_markers_nor_what_is_aborted_count(settings: Settings, shop: AIOKafkaProducer) -> None:
    start = (await held(settings)).end
    await transaction(shop, commit=True, count=3)
    whole = (await held(settings))._replace(start=start)
    assert whole.end - start == 4
    assert await of(settings, whole) == UnreadCount(start, 3)
    assert await of(settings, whole._replace(start=start + 3)) == UnreadCount(whole.end, 0)
    await transaction(shop, commit=False, count=2)
    aborted = (await held(settings))._replace(start=start + 3)
    assert await of(settings, aborted) == UnreadCount(aborted.end, 0)
    await publish(settings, topics.requests("waited"), [OutgoingRecord(b"{}")])
    more = (await held(settings))._replace(start=start + 3)
    assert await of(settings, more) == UnreadCount(more.end - 1, 1)


async def test_what_is_in_an_open_transaction_does_not_wait_yet(settings: Settings, shop: AIOKafkaProducer) -> None:
    before = await held(settings)
    await shop.begin_transaction()
    await shop.send_and_wait(topics.requests("waited"), b"{}")
    await publish(settings, topics.requests("waited"), [OutgoingRecord(b"{}")])
    assert await held(settings) == before
    await shop.commit_transaction()
    after = (await held(settings))._replace(start=before.end)
    assert await of(settings, after) == UnreadCount(before.end, 2)


async def test_of_many_records_no_fewer_are_told(settings: Settings) -> None:
    start = (await held(settings)).end
    await publish(settings, topics.requests("waited"), [OutgoingRecord(bytes(1000))] * 500)
    many = (await held(settings))._replace(start=start)
    assert await of(settings, many) == UnreadCount(start, 500)


async def test_at_rest_nothing_is_asked(
    settings: Settings, shop: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (await held(settings)).end
    await transaction(shop, commit=False)
    empty = (await held(settings))._replace(start=start)
    assert await of(settings, empty) == UnreadCount(empty.end, 0)
    monkeypatch.setattr(unread_count, "clients", None)  # a consumer can't be made
    assert (await unread_count.count_unread(settings, [empty]))[empty] == UnreadCount(empty.end, 0)


async def test_lag_and_the_clock_of_sessions_reach_the_end(settings: Settings, shop: AIOKafkaProducer) -> None:
    requests, group = topics.requests("waited"), "waited-group"
    tp = TopicPartition(requests, 0)
    await transaction(shop, commit=True)
    await transaction(shop, commit=False)
    last = (await held(settings)).end - 4  # the record, its marker, the aborted one and its marker

    async def waiting() -> int:
        return (await fetch_lags(settings, [requests], {group: [requests], WORKER_GROUP: []}))[group][requests]

    consumer = clients.create_consumer(settings, group_id=group)
    consumer.assign([tp])
    await consumer.start()
    try:
        await consumer.commit({tp: last})
        assert await waiting() == 1
        ends, read = await check_committed(settings, group, requests, None)
        assert (ends, read) == ({tp: last + 4}, False)
        await consumer.commit({tp: last + 1})
        assert await waiting() == 0
        assert await check_committed(settings, group, requests, ends) == (ends, True)
    finally:
        await consumer.stop()
