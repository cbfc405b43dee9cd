"""The event log as the benchmark uses it: publish requests, read answers and their times."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from app.events import cloudevents, ids
from app.events import types as event_types
from app.events.cloudevents import Event, Headers
from app.events.types import PredictionRequested
from app.kafka import clients
from app.settings import MiB, Settings

SOURCE = "benchmark"
Offsets = dict[TopicPartition, int]


@dataclass(frozen=True)
class Request:
    """A request as an application sends it, and the id of its prediction."""

    prediction_id: str
    key: bytes
    value: bytes
    headers: Headers


def make_requests(task: str, payloads: Sequence[bytes], count: int) -> list[Request]:
    """Return `count` new requests that use the payloads in turn."""
    requests, now = [], cloudevents.format_rfc3339(time.time() * 1000)
    for number in range(count):
        name, payload = str(uuid.uuid4()), payloads[number % len(payloads)]
        event = Event(name, PredictionRequested.type, SOURCE, now, payload, content_type="application/octet-stream")
        requests.append(Request(ids.prediction_id(task, SOURCE, name), name.encode(), payload, event.to_headers()))
    return requests


async def publish_requests(settings: Settings, topic: str, backlog: Sequence[Request]) -> None:
    """Publish the requests as fast as the broker accepts them; return when all are confirmed."""
    options = {"linger_ms": 5, "max_batch_size": MiB // 2, "max_request_size": 8 * MiB}
    async with clients.create_producer(settings, **options) as producer:
        for start in range(0, len(backlog), 1000):
            confirmations = [
                await producer.send(topic, request.value, request.key, headers=list(request.headers))
                for request in backlog[start : start + 1000]
            ]
            await asyncio.gather(*confirmations)


async def list_partitions(bootstrap: str, *names: str) -> list[TopicPartition]:
    """Return the partitions of these topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        descriptions = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in descriptions
        for partition in topic["partitions"]
    ]


@asynccontextmanager
async def open_consumer(
    bootstrap: str, partitions: Sequence[TopicPartition], **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer of these partitions, outside any group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **options)
    consumer.assign(list(partitions))
    async with consumer:
        yield consumer
        await asyncio.sleep(0)  # aiokafka raises CancelledError when it is stopped before its tasks have begun


async def end_offsets(bootstrap: str, topic: str) -> Offsets:
    """Return the end offset of each partition of a topic."""
    partitions = await list_partitions(bootstrap, topic)
    async with open_consumer(bootstrap, partitions) as consumer:
        return dict(await consumer.end_offsets(partitions))


async def read_records_since(bootstrap: str, start_offsets: Offsets) -> list[ConsumerRecord]:
    """Return every record from the start offsets to the present end, in no order."""
    consumed: list[ConsumerRecord] = []
    async with open_consumer(bootstrap, list(start_offsets), max_partition_fetch_bytes=4 * MiB) as consumer:
        ends = await consumer.end_offsets(list(start_offsets))
        count = sum(ends[partition] - offset for partition, offset in start_offsets.items())
        for partition, offset in start_offsets.items():
            consumer.seek(partition, offset)
        while len(consumed) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                consumed += records
    return consumed


async def create_topics(settings: Settings, names: Sequence[str], partitions: int) -> None:
    """Create topics with the configuration of the platform's."""
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        configs = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(8 * MiB)}
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs) for name in names])
        while any(topic["error_code"] for topic in await admin.describe_topics(list(names))):
            await asyncio.sleep(0.1)  # the broker learns of a topic a moment after its controller has created it
    finally:
        await admin.close()


def read_event_id(record: ConsumerRecord) -> str:
    """Return the id of a record's event, which is the prediction id for features and answers."""
    return cloudevents.header_text(record.headers, "ce_id") or ""


def is_failure(record: ConsumerRecord) -> bool:
    """Return whether an answer is a failure instead of a prediction."""
    return cloudevents.header_text(record.headers, "ce_type") == event_types.PredictionFailed.type
