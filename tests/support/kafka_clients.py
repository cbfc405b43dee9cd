"""Kafka clients for tests: publish to any topic, and read topics."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.structs import RecordMetadata

from app.kafka import clients
from app.settings import MiB, Settings

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class OutgoingRecord:
    """A record to publish."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


async def publish(
    settings: Settings, topic: str, records: Iterable[OutgoingRecord], rate: float = 0
) -> list[RecordMetadata]:
    """Publish records, `rate` per second if it is not 0, and return once all are confirmed."""
    producer = clients.create_producer(settings, max_request_size=64 * MiB)
    await producer.start()
    try:
        confirmations = []
        started = time.monotonic()
        for count, record in enumerate(records):
            if rate:
                await asyncio.sleep(max(0.0, started + count / rate - time.monotonic()))
            headers = list(record.headers)
            confirmations.append(await producer.send(topic, record.value, key=record.key, headers=headers))
        return list(await asyncio.gather(*confirmations))
    finally:
        await producer.stop()


class TopicReader:
    """The records of some topics, from the consumer's position on."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.records: list[ConsumerRecord] = []

    async def read_until(
        self, condition: Callable[[list[ConsumerRecord]], bool], seconds: float = 120
    ) -> list[ConsumerRecord]:
        """Read until the condition holds for all records so far; fail if it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition(self.records):
            remaining = deadline - time.monotonic()
            assert remaining > 0, f"after {seconds} s there are {len(self.records)} records, not enough"
            batches = await self._consumer.getmany(timeout_ms=min(500, int(remaining * 1000) + 1))
            self.records += [record for batch in batches.values() for record in batch]
        return self.records

    async def read_answers(self, count: int, seconds: float = 120) -> dict[str, dict[str, Any]]:
        """Read until there are `count` answers; return the first of each prediction id. A failed one has no `role`."""
        await self.read_until(lambda records: len({event_id(record) for record in records}) >= count, seconds)
        first: dict[str, dict[str, Any]] = {}
        for record in self.records:
            first.setdefault(event_id(record), json.loads(record.value))
        return first


def event_id(record: ConsumerRecord) -> str:
    """Return the ce_id of a record."""
    return header_text(record, "ce_id")


def header_text(record: ConsumerRecord, name: str) -> str:
    """Return the text of a header."""
    return str(dict(record.headers)[name].decode())


@asynccontextmanager
async def open_topic_reader(
    settings: Settings, *topics: str, from_beginning: bool = False
) -> AsyncIterator[TopicReader]:
    """Read topics from their present end, or from their beginning, without a group."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=settings.bootstrap,
        max_partition_fetch_bytes=64 * MiB,
        fetch_max_wait_ms=100,
        auto_offset_reset="earliest" if from_beginning else "latest",
    )
    await consumer.start()
    try:
        for partition in consumer.assignment():
            await consumer.position(partition)
        yield TopicReader(consumer)
    finally:
        await consumer.stop()
