"""Readers of the registry from `lifecycle`, once or continuously, outside any consumer group."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from app.backoff import retry
from app.errors import Unavailable
from app.events import topics
from app.events.cloudevents import TopicId
from app.kafka import clients, reader
from app.kafka.topic_ids import fetch_topic_ids
from app.monitoring.heartbeat import report_wait
from app.registry.registry import Registry
from app.settings import Settings
from models.base import Task

log = logging.getLogger(__name__)

_MAX_WAIT_MS = 2000
"""The broker answers a fetch at once if there is a record, and after this time if there is none."""


async def read_registry(settings: Settings, tasks: Iterable[Task]) -> Registry:
    """Return the registry as it is in the log now.

    Raises KafkaError without a broker, `Unavailable` for an event that a newer release wrote.
    """
    registry = Registry(tasks)
    async for records in reader.read_topic(settings, topics.LIFECYCLE):
        for record in records:
            registry.apply(record)
    return registry


async def subscribe(settings: Settings, tasks: Iterable[Task]) -> AsyncGenerator[Registry, None]:
    """Yield the registry once it is read to the log's end, and again after each change.

    The topic must exist. Waits for a broker that is unavailable, and for ever at an event that a newer release wrote:
    what is known until then stays in force here until this process is upgraded.
    """
    registry = Registry(tasks)
    consumer, epoch = await _start_consumer(settings)
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        behind = {partition: end for partition, end in ends.items() if end > 0}
        if not behind:
            yield registry
        while True:
            batches = await consumer.getmany(timeout_ms=_MAX_WAIT_MS)
            records = [reader.to_consumed_record(record, epoch) for batch in batches.values() for record in batch]
            try:
                changed = sum([registry.apply(record) for record in records]) > 0
            except Unavailable as error:
                log.error("the registry waits: %s", error)
                report_wait("registry", str(error))
                await asyncio.Event().wait()
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
            settings, topics.LIFECYCLE, auto_offset_reset="earliest", fetch_max_wait_ms=_MAX_WAIT_MS
        )
        try:
            await consumer.start()
            return consumer, (await fetch_topic_ids(settings, [topics.LIFECYCLE]))[topics.LIFECYCLE]
        except BaseException:
            await consumer.stop()
            raise

    return await retry(start, (KafkaError, OSError), log, "the registry waits for the broker")
