"""Count of the records between two offsets of a partition.

It is not the difference of the offsets: transaction markers and aborted records have offsets too, and compaction leaves
gaps. A consumer's committed offset stays before them until the next record. So if a group seems to lag, a consumer
reads from the group's offset to the first record, or to the end.
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
"""Offsets that are not read by then count as unread; the next call continues from there."""
_CACHE_SECONDS = 60.0
"""Time for which an empty range is remembered: a topic may be deleted and created again."""


class PartitionRange(NamedTuple):
    """Offsets of a partition from `start` to `end` (exclusive), which is at most the last stable offset."""

    partition: TopicPartition
    start: int
    end: int


@dataclass(frozen=True)
class UnreadCount:
    """Records in a range: the first one's offset (the range's end if there is none), and an upper bound of their count.

    The count is exact as far as one fetch reaches; beyond that, each offset counts.
    """

    first_offset: int
    records: int


_empty_ranges: dict[tuple[str, TopicPartition, int], tuple[int, float]] = {}
"""Cluster, partition and start -> the offset up to which there is no record, and when this entry expires."""


async def count_unread(settings: Settings, ranges: Iterable[PartitionRange]) -> dict[PartitionRange, UnreadCount]:
    """Count the records in each of the ranges. Raises KafkaError without a broker."""
    counts: dict[PartitionRange, UnreadCount] = {}
    passes: list[dict[TopicPartition, PartitionRange]] = []
    """A consumer has one position in a partition: several ranges of one partition are read in several passes."""
    now = time.monotonic()
    for key in [key for key, (_, expires) in _empty_ranges.items() if expires < now]:
        del _empty_ranges[key]
    for offsets in set(ranges):
        if offsets.start >= offsets.end or _read_until(settings, offsets) >= offsets.end:
            counts[offsets] = UnreadCount(offsets.end, 0)
            continue
        pass_ranges = next((candidate for candidate in passes if offsets.partition not in candidate), None)
        if pass_ranges is None:
            passes.append(pass_ranges := {})
        pass_ranges[offsets.partition] = offsets
    if passes:
        consumer = clients.create_consumer(
            settings, auto_offset_reset="earliest", fetch_max_wait_ms=100, max_partition_fetch_bytes=_FETCH_BYTES
        )
        await consumer.start()
        try:
            for pass_ranges in passes:
                counts |= await _count_ranges(settings, consumer, pass_ranges)
        finally:
            await consumer.stop()
    return counts


def _read_until(settings: Settings, offsets: PartitionRange) -> int:
    key = (settings.platform_bootstrap, offsets.partition, offsets.start)
    return _empty_ranges.get(key, (offsets.start, 0.0))[0]


async def _count_ranges(
    settings: Settings, consumer: AIOKafkaConsumer, ranges: dict[TopicPartition, PartitionRange]
) -> dict[PartitionRange, UnreadCount]:
    counts: dict[PartitionRange, UnreadCount] = {}
    consumer.assign(list(ranges))
    for partition, offsets in ranges.items():
        consumer.seek(partition, _read_until(settings, offsets))
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while len(counts) < len(ranges):
        late = time.monotonic() > deadline
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        for partition, offsets in ranges.items():
            if offsets in counts:
                continue
            position = min(await consumer.position(partition), offsets.end)
            records = [record for record in batches.get(partition, ()) if record.offset < offsets.end]
            first_offset = records[0].offset if records else position
            _empty_ranges[settings.platform_bootstrap, partition, offsets.start] = (
                first_offset,
                time.monotonic() + _CACHE_SECONDS,
            )
            if records or late or position == offsets.end:
                counts[offsets] = UnreadCount(first_offset, len(records) + offsets.end - position)
                consumer.pause(partition)
    return counts
