"""What Kafka holds of the log: ranges of offsets, read without a consumer group."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.events import topics
from app.events.cloudevents import Incoming, LogEpoch, Origin
from app.kafka import clients
from app.kafka.topic_ids import log_epochs
from app.settings import Settings

_POLL_MS = 500
_MOST_RECORDS = 5_000


@dataclass(frozen=True)
class Held:
    """The offsets that Kafka holds of one partition: from `begin` up to, not including, `end`.

    That is where the first open transaction begins, if there is one: nobody reads beyond.
    """

    epoch: LogEpoch
    begin: int
    end: int


async def partitions_of(settings: Settings, names: list[str]) -> list[TopicPartition]:
    """The partitions of these topics; none of a topic that doesn't exist. Raises KafkaError without a broker."""
    admin = clients.admin(settings)
    try:
        await admin.start()
        described = await admin.describe_topics(names)
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        if not topic["error_code"]
        for partition in topic["partitions"]
    ]


async def held(settings: Settings, names: list[str]) -> dict[TopicPartition, Held]:
    """What Kafka holds of these topics; nothing of a topic that doesn't exist. Raises KafkaError without a broker."""
    partitions = await partitions_of(settings, names)
    epochs = await log_epochs(settings, sorted({tp.topic for tp in partitions}))
    async with _consumer(settings, partitions) as consumer:
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    return {tp: Held(epochs[tp.topic], begins[tp], ends[tp]) for tp in partitions}


async def firsts(
    consumer: AIOKafkaConsumer, milliseconds: int, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Each partition's first offset that was logged at a moment of Unix time or later; its end where none was."""
    found = await consumer.offsets_for_times(dict.fromkeys(ends, milliseconds))
    return {tp: end if found[tp] is None else found[tp].offset for tp, end in ends.items()}


async def between(
    settings: Settings, partitions: list[TopicPartition], since: datetime, until: datetime
) -> dict[TopicPartition, tuple[int, int]]:
    """The ranges, as `read` takes them, of what Kafka holds that was logged from `since` to `until`, both included."""
    async with _consumer(settings, partitions) as consumer:
        ends = await consumer.end_offsets(partitions)
        begins = await firsts(consumer, int(since.timestamp() * 1000), ends)
        after = await firsts(consumer, int(until.timestamp() * 1000) + 1, ends)
    return {tp: (begins[tp], after[tp]) for tp in partitions}


async def read(
    settings: Settings, ranges: Mapping[TopicPartition, tuple[int, int]], epochs: Mapping[str, LogEpoch]
) -> AsyncIterator[list[Incoming]]:
    """The records from each range's first offset up to, not including, its second; a partition's in their order."""
    open_ranges = {tp: end for tp, (start, end) in ranges.items() if start < end}
    if not open_ranges:
        return
    async with _consumer(settings, list(open_ranges)) as consumer:
        for tp in open_ranges:
            consumer.seek(tp, ranges[tp][0])
        while open_ranges:
            found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
            records = [
                r for tp, some in found.items() for r in some if tp in open_ranges and r.offset < open_ranges[tp]
            ]
            if records:
                yield [incoming(record, epochs[record.topic]) for record in records]
            for tp in list(open_ranges):
                if await consumer.position(tp) >= open_ranges[tp]:
                    del open_ranges[tp]
                    consumer.pause(tp)


def incoming(record: ConsumerRecord, epoch: LogEpoch) -> Incoming:
    """A record as the guard has it."""
    origin = Origin(epoch, record.topic, record.partition, record.offset, record.timestamp)
    return Incoming(origin, record.key, record.value, tuple((name, value or b"") for name, value in record.headers))


@asynccontextmanager
async def _consumer(settings: Settings, partitions: list[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = clients.consumer(
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
