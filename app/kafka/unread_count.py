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
_LOOK_SECONDS = 10.0
"""What is not known by then counts as unread; the next look goes on from there."""
_KNOWN_SECONDS = 60.0
"""For how long it is remembered that there is nothing between two offsets: a topic may be deleted and made again."""


class Range(NamedTuple):
    """The offsets of a partition from `start` up to, not including, `end`: at most its last stable offset."""

    partition: TopicPartition
    start: int
    end: int


@dataclass(frozen=True)
class Unread:
    """The records in a range: the first one's offset (the range's end where there is none), and how many.

    There are never more than `records`; as many as one fetch finds are counted, beyond that each offset counts.
    """

    first: int
    records: int


_empty: dict[tuple[str, TopicPartition, int], tuple[int, float]] = {}
"""By cluster, partition and start: the offset up to which there is no record, and until when that is believed."""


async def unread(settings: Settings, ranges: Iterable[Range]) -> dict[Range, Unread]:
    """What there is to read in each of the ranges. Raises KafkaError without a broker."""
    found: dict[Range, Unread] = {}
    looks: list[dict[TopicPartition, Range]] = []
    """One consumer is at one place of a partition at a time."""
    now = time.monotonic()
    for key in [key for key, (_, expires) in _empty.items() if expires < now]:
        del _empty[key]
    for one in set(ranges):
        if one.start >= one.end or _read_until(settings, one) >= one.end:
            found[one] = Unread(one.end, 0)
            continue
        look = next((look for look in looks if one.partition not in look), None)
        if look is None:
            looks.append(look := {})
        look[one.partition] = one
    if looks:
        consumer = clients.consumer(
            settings, auto_offset_reset="earliest", fetch_max_wait_ms=100, max_partition_fetch_bytes=_FETCH_BYTES
        )
        await consumer.start()
        try:
            for look in looks:
                found |= await _look(settings, consumer, look)
        finally:
            await consumer.stop()
    return found


def _read_until(settings: Settings, one: Range) -> int:
    return _empty.get((settings.platform_bootstrap, one.partition, one.start), (one.start, 0.0))[0]


async def _look(
    settings: Settings, consumer: AIOKafkaConsumer, look: dict[TopicPartition, Range]
) -> dict[Range, Unread]:
    found: dict[Range, Unread] = {}
    consumer.assign(list(look))
    for partition, one in look.items():
        consumer.seek(partition, _read_until(settings, one))
    deadline = time.monotonic() + _LOOK_SECONDS
    while len(found) < len(look):
        late = time.monotonic() > deadline
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        for partition, one in look.items():
            if one in found:
                continue
            position = min(await consumer.position(partition), one.end)
            offsets = [record.offset for record in fetched.get(partition, ()) if record.offset < one.end]
            until = offsets[0] if offsets else position
            _empty[settings.platform_bootstrap, partition, one.start] = (until, time.monotonic() + _KNOWN_SECONDS)
            if offsets or late or position == one.end:
                found[one] = Unread(until, len(offsets) + one.end - position)
                consumer.pause(partition)
    return found
