"""The event log as the benchmark uses it: requests in, answers and their times out."""

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
    """So many requests, none of which was made before, with the payloads in turn."""
    made, now = [], cloudevents.format_rfc3339(time.time() * 1000)
    for number in range(count):
        name, payload = str(uuid.uuid4()), payloads[number % len(payloads)]
        event = Event(name, PredictionRequested.type, SOURCE, now, payload, content_type="application/octet-stream")
        made.append(Request(ids.prediction_id(task, SOURCE, name), name.encode(), payload, event.to_headers()))
    return made


async def publish_requests(settings: Settings, topic: str, backlog: Sequence[Request]) -> None:
    """All of them, as quickly as the broker takes them; returns when each is confirmed."""
    options = {"linger_ms": 5, "max_batch_size": MiB // 2, "max_request_size": 8 * MiB}
    async with clients.create_producer(settings, **options) as producer:
        for start in range(0, len(backlog), 1000):
            part = backlog[start : start + 1000]
            sent = [await producer.send(topic, one.value, one.key, headers=list(one.headers)) for one in part]
            await asyncio.gather(*sent)


async def list_partitions(bootstrap: str, *names: str) -> list[TopicPartition]:
    """The partitions of these topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    return [TopicPartition(topic["topic"], one["partition"]) for topic in described for one in topic["partitions"]]


@asynccontextmanager
async def open_consumer(
    bootstrap: str, partitions: Sequence[TopicPartition], **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of these partitions, outside any group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **options)
    consumer.assign(list(partitions))
    async with consumer:
        yield consumer
        await asyncio.sleep(0)  # aiokafka raises CancelledError when it is stopped before its tasks have begun


async def end_offsets(bootstrap: str, topic: str) -> Offsets:
    """Where each partition of a topic ends now."""
    places = await list_partitions(bootstrap, topic)
    async with open_consumer(bootstrap, places) as consumer:
        return dict(await consumer.end_offsets(places))


async def read_records_since(bootstrap: str, start_offsets: Offsets) -> list[ConsumerRecord]:
    """Every record from the marks to what is now the end, in no order."""
    found: list[ConsumerRecord] = []
    async with open_consumer(bootstrap, list(start_offsets), max_partition_fetch_bytes=4 * MiB) as consumer:
        stop = await consumer.end_offsets(list(start_offsets))
        missing = sum(stop[partition] - offset for partition, offset in start_offsets.items())
        for partition, offset in start_offsets.items():
            consumer.seek(partition, offset)
        while len(found) < missing:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return found


async def create_topics(settings: Settings, names: Sequence[str], partitions: int) -> None:
    """Topics such as the platform's."""
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        configs = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(8 * MiB)}
        made = [NewTopic(name, partitions, 1, topic_configs=configs) for name in names]
        await admin.create_topics(made)
    finally:
        await admin.close()


def read_event_id(record: ConsumerRecord) -> str:
    """The id of the event in a record: of features and answers, the prediction's."""
    return cloudevents.header_text(record.headers, "ce_id") or ""


def is_failure(record: ConsumerRecord) -> bool:
    """Whether an answer says that there can be no prediction."""
    return cloudevents.header_text(record.headers, "ce_type") == event_types.PredictionFailed.type
