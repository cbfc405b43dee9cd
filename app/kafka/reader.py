"""Reading of Kafka by ranges of offsets, without a consumer group."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.kafka import clients
from app.kafka.topic_ids import fetch_topic_ids
from app.settings import Settings

_POLL_MS = 500
_MAX_POLL_RECORDS = 5_000


@dataclass(frozen=True)
class OffsetRange:
    """Offsets that Kafka holds of one partition, from `begin` to `end` (exclusive).

    `end` is the last stable offset: the start of the first open transaction, if there is one.
    """

    topic_id: TopicId
    begin: int
    end: int


async def fetch_partitions(settings: Settings, names: list[str]) -> list[TopicPartition]:
    """Return the partitions of those topics that exist. Raises KafkaError without a broker."""
    async with clients.open_admin(settings) as admin:
        descriptions = await admin.describe_topics(names)
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in descriptions
        if not topic["error_code"]
        for partition in topic["partitions"]
    ]


async def fetch_offset_ranges(settings: Settings, names: list[str]) -> dict[TopicPartition, OffsetRange]:
    """Return the offset range of each partition of those topics that exist. Raises KafkaError without a broker."""
    partitions = await fetch_partitions(settings, names)
    topic_ids = await fetch_topic_ids(settings, sorted({tp.topic for tp in partitions}))
    async with _consumer(settings, partitions) as consumer:
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    return {tp: OffsetRange(topic_ids[tp.topic], begins[tp], ends[tp]) for tp in partitions}


async def fetch_first_offsets(
    consumer: AIOKafkaConsumer, milliseconds: int, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return each partition's first offset that was logged at this Unix time or later; its end if there is none."""
    offsets = await consumer.offsets_for_times(dict.fromkeys(ends, milliseconds))
    return {tp: end if offsets[tp] is None else offsets[tp].offset for tp, end in ends.items()}


async def fetch_offsets_between(
    settings: Settings, partitions: list[TopicPartition], since: datetime, until: datetime
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the ranges, for `read_ranges`, of the records that were logged from `since` to `until` (inclusive)."""
    async with _consumer(settings, partitions) as consumer:
        ends = await consumer.end_offsets(partitions)
        begins = await fetch_first_offsets(consumer, int(since.timestamp() * 1000), ends)
        after = await fetch_first_offsets(consumer, int(until.timestamp() * 1000) + 1, ends)
    return {tp: (begins[tp], after[tp]) for tp in partitions}


async def read_ranges(
    settings: Settings, ranges: Mapping[TopicPartition, tuple[int, int]], topic_ids: Mapping[str, TopicId]
) -> AsyncIterator[list[ConsumedRecord]]:
    """Yield the records of each range, its second offset excluded; those of a partition in their order."""
    open_ranges = {tp: end for tp, (start, end) in ranges.items() if start < end}
    if not open_ranges:
        return
    async with _consumer(settings, list(open_ranges)) as consumer:
        for tp in open_ranges:
            consumer.seek(tp, ranges[tp][0])
        while open_ranges:
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_POLL_RECORDS)
            records = [
                record
                for tp, batch in batches.items()
                for record in batch
                if tp in open_ranges and record.offset < open_ranges[tp]
            ]
            if records:
                yield [to_consumed_record(record, topic_ids[record.topic]) for record in records]
            for tp in list(open_ranges):
                if await consumer.position(tp) >= open_ranges[tp]:
                    del open_ranges[tp]
                    consumer.pause(tp)


async def read_topic(settings: Settings, topic: str) -> AsyncIterator[list[ConsumedRecord]]:
    """Yield all records that a topic has now; those of a partition in their order. Raises KafkaError without a broker.

    A topic that does not exist has none.
    """
    offset_ranges = await fetch_offset_ranges(settings, [topic])
    ranges = {tp: (offsets.begin, offsets.end) for tp, offsets in offset_ranges.items()}
    topic_ids = {tp.topic: offsets.topic_id for tp, offsets in offset_ranges.items()}
    async for records in read_ranges(settings, ranges, topic_ids):
        yield records


def to_consumed_record(record: ConsumerRecord, topic_id: TopicId) -> ConsumedRecord:
    """Return a record with its origin, in the type that handlers take."""
    origin = Origin(topic_id, record.topic, record.partition, record.offset, record.timestamp)
    return ConsumedRecord(
        origin, record.key, record.value, tuple((name, value or b"") for name, value in record.headers)
    )


@asynccontextmanager
async def _consumer(settings: Settings, partitions: list[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = clients.create_consumer(
        settings,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=topics.max_message_bytes(settings),
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        yield consumer
    finally:
        await consumer.stop()
