"""How many records wait for whoever has read up to an offset.

The difference of two offsets is not that: the marker that ends a transaction takes an offset, so does what a
transaction has aborted, and compaction leaves gaps. A consumer's committed offset stays before them until another
record comes. So where a
group looks behind, a consumer reads on from its offset, to the first record or to the end.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka import clients
from app.settings import Settings

_FETCH_BYTES = 64 * 1024
_POLL_MS = 50
_TIMEOUT_SECONDS = 10.0
"""What is not known by then counts as unread; the next look goes on from there."""
_CACHE_SECONDS = 60.0
"""For how long it is remembered that there is nothing between two offsets: a topic may be deleted and made again."""


class PartitionRange(NamedTuple):
    """The offsets of a partition from `start` up to, not including, `end`: at most its last stable offset."""

    partition: TopicPartition
    start: int
    end: int


@dataclass(frozen=True)
class UnreadCount:
    """The records in a range: the first one's offset (the range's end where there is none), and how many.

    There are never more than `records`; as many as one fetch finds are counted, beyond that each offset counts.
    """

    first_offset: int
    records: int


_empty_ranges: dict[tuple[str, TopicPartition, int], tuple[int, float]] = {}
"""By cluster, partition and start: the offset up to which there is no record, and until when that is believed."""


async def count_unread(settings: Settings, ranges: Iterable[PartitionRange]) -> dict[PartitionRange, UnreadCount]:
    """What there is to read in each of the ranges. Raises KafkaError without a broker."""
    found: dict[PartitionRange, UnreadCount] = {}
    looks: list[dict[TopicPartition, PartitionRange]] = []
    """One consumer is at one place of a partition at a time."""
    now = time.monotonic()
    for key in [key for key, (_, expires) in _empty_ranges.items() if expires < now]:
        del _empty_ranges[key]
    for one in set(ranges):
        if one.start >= one.end or _read_until(settings, one) >= one.end:
            found[one] = UnreadCount(one.end, 0)
            continue
        look = next((look for look in looks if one.partition not in look), None)
        if look is None:
            looks.append(look := {})
        look[one.partition] = one
    if looks:
        consumer = clients.create_consumer(
            settings, auto_offset_reset="earliest", fetch_max_wait_ms=100, max_partition_fetch_bytes=_FETCH_BYTES
        )
        await consumer.start()
        try:
            for look in looks:
                found |= await _count_ranges(settings, consumer, look)
        finally:
            await consumer.stop()
    return found


def _read_until(settings: Settings, one: PartitionRange) -> int:
    return _empty_ranges.get((settings.platform_bootstrap, one.partition, one.start), (one.start, 0.0))[0]


async def _count_ranges(
    settings: Settings, consumer: AIOKafkaConsumer, ranges: dict[TopicPartition, PartitionRange]
) -> dict[PartitionRange, UnreadCount]:
    found: dict[PartitionRange, UnreadCount] = {}
    consumer.assign(list(ranges))
    for partition, one in ranges.items():
        consumer.seek(partition, _read_until(settings, one))
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while len(found) < len(ranges):
        late = time.monotonic() > deadline
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        for partition, one in ranges.items():
            if one in found:
                continue
            position = min(await consumer.position(partition), one.end)
            offsets = [record.offset for record in fetched.get(partition, ()) if record.offset < one.end]
            until = offsets[0] if offsets else position
            _empty_ranges[settings.platform_bootstrap, partition, one.start] = (
                until,
                time.monotonic() + _CACHE_SECONDS,
            )
            if offsets or late or position == one.end:
                found[one] = UnreadCount(until, len(offsets) + one.end - position)
                consumer.pause(partition)
    return found
