"""The registry read from `lifecycle`: once, or for as long as a process lives. Outside any consumer group."""

import logging
from collections.abc import AsyncGenerator, Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from app.backoff import retry
from app.events import topics
from app.events.cloudevents import TopicId
from app.kafka import clients, reader
from app.kafka.topic_ids import fetch_topic_ids
from app.registry.registry import Registry
from app.settings import Settings
from models.base import Task

log = logging.getLogger(__name__)

_POLL_MS = 1000


async def read_registry(settings: Settings, tasks: Iterable[Task]) -> Registry:
    """The registry as the log has it now. Raises KafkaError without a broker."""
    registry = Registry(tasks)
    held = await reader.fetch_offset_ranges(settings, [topics.LIFECYCLE])
    epochs = {partition.topic: one.topic_id for partition, one in held.items()}
    async for records in reader.read_ranges(settings, {tp: (one.begin, one.end) for tp, one in held.items()}, epochs):
        for record in records:
            registry.apply(record)
    return registry


async def subscribe(settings: Settings, tasks: Iterable[Task]) -> AsyncGenerator[Registry, None]:
    """The registry once it is read to the log's end, and again after each change, for ever.

    The topic must be there; a broker that is away is waited for.
    """
    registry = Registry(tasks)
    consumer, epoch = await _start_consumer(settings)
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        behind = {partition: end for partition, end in ends.items() if end > 0}
        if not behind:
            yield registry
        while True:
            found = await consumer.getmany(timeout_ms=_POLL_MS)
            records = [reader.to_consumed_record(record, epoch) for some in found.values() for record in some]
            changed = sum(registry.apply(record) for record in records) > 0
            if behind:
                behind = {tp: end for tp, end in behind.items() if await consumer.position(tp) < end}
                changed = not behind
            if changed and not behind:
                yield registry
    finally:
        await consumer.stop()


async def _start_consumer(settings: Settings) -> tuple[AIOKafkaConsumer, TopicId]:
    async def start() -> tuple[AIOKafkaConsumer, TopicId]:
        consumer = clients.create_consumer(
            settings, topics.LIFECYCLE, auto_offset_reset="earliest", fetch_max_wait_ms=100
        )
        try:
            await consumer.start()
            return consumer, (await fetch_topic_ids(settings, [topics.LIFECYCLE]))[topics.LIFECYCLE]
        except BaseException:
            await consumer.stop()
            raise

    return await retry(start, (KafkaError, OSError), log, "the registry waits for the broker")
