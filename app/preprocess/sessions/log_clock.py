"""How far the job has read the log, in time: the clock by which live sessions wait.

By the machine's clock a session would give up a chunk that is in the log, unread, because the job was away or behind.
"""

import asyncio
import logging

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.kafka import clients
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings

log = logging.getLogger(__name__)

POLL_MS = 1000
"""Kafka is asked so often at most, and only while a session may have waited long enough."""

Offsets = dict[TopicPartition, int]


class LogClock:
    """What a consumer group has read of topics."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._last_checked_ms: dict[str, int] = {}
        self._read_until_ms: dict[str, int] = {}
        self._pending: dict[str, tuple[int, Offsets]] = {}

    def read_until(self, topic: str, now: int) -> int:
        """A time, in milliseconds since 1970, such that all that came into the topic before it has been read.

        That is known once the group has committed all records that there were then: a checkpoint later.
        """
        if now >= self._last_checked_ms.get(topic, 0) + POLL_MS:
            when, awaited = self._pending.get(topic, (now, None))
            try:
                ends, read = asyncio.run(check_committed(self._settings, self._group, topic, awaited))
            except (KafkaError, OSError) as error:  # sessions wait for what can't be read
                log.warning("how far %s is read can't be known: %s", topic, error)
            else:
                if read:
                    self._read_until_ms[topic] = when
                self._pending[topic] = (now, ends) if read or awaited is None else (when, awaited)
            self._last_checked_ms[topic] = now
        return self._read_until_ms.get(topic, 0)


async def check_committed(settings: Settings, group: str, topic: str, awaited: Offsets | None) -> tuple[Offsets, bool]:
    """The end of each partition, and whether the group has committed all records up to `awaited`, or else to these.

    Raises KafkaError.
    """
    admin, consumer = clients.create_admin(settings), clients.create_consumer(settings)
    try:
        await admin.start()
        [described] = await admin.describe_topics([topic])
        consumer.assign([TopicPartition(topic, partition["partition"]) for partition in described["partitions"]])
        await consumer.start()
        starts = await consumer.beginning_offsets(consumer.assignment())
        ends = await consumer.end_offsets(consumer.assignment())
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await consumer.stop()
        await admin.close()
    ranges = []
    for partition, end in (ends if awaited is None else awaited).items():
        done = committed[partition].offset if partition in committed else -1
        ranges.append(PartitionRange(partition, max(done, starts[partition]), end))
    found = await count_unread(settings, ranges)
    return ends, not any(one.records for one in found.values())
