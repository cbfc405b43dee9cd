"""The clock of live sessions: the time up to which the job has read the log.

By the machine's clock a session would give up a chunk that is in the log but unread, because the job was down or late.
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
"""Kafka is queried at most this often, and only while a session may have waited long enough."""

Offsets = dict[TopicPartition, int]


class LogClock:
    """The progress of a consumer group through topics, as a time."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._last_checked_ms: dict[str, int] = {}
        self._read_until_ms: dict[str, int] = {}
        self._pending: dict[str, tuple[int, Offsets]] = {}

    def read_until(self, topic: str, now: int) -> int:
        """Return a time, in milliseconds since 1970, before which every record of the topic has been read.

        The time is known once the group has committed the records that the topic had then: one checkpoint later.
        """
        if now >= self._last_checked_ms.get(topic, 0) + POLL_MS:
            pending_ms, awaited = self._pending.get(topic, (now, None))
            try:
                ends, read = asyncio.run(check_committed(self._settings, self._group, topic, awaited))
            except (KafkaError, OSError) as error:  # sessions wait meanwhile
                log.warning("the read progress of %s is unknown: %s", topic, error)
            else:
                if read:
                    self._read_until_ms[topic] = pending_ms
                self._pending[topic] = (now, ends) if read or awaited is None else (pending_ms, awaited)
            self._last_checked_ms[topic] = now
        return self._read_until_ms.get(topic, 0)


async def check_committed(settings: Settings, group: str, topic: str, awaited: Offsets | None) -> tuple[Offsets, bool]:
    """Return the end of each partition, and whether the group has committed all records before `awaited`.

    If `awaited` is None, the ends take its place. Raises KafkaError.
    """
    admin, consumer = clients.create_admin(settings), clients.create_consumer(settings)
    try:
        await admin.start()
        [description] = await admin.describe_topics([topic])
        consumer.assign([TopicPartition(topic, partition["partition"]) for partition in description["partitions"]])
        await consumer.start()
        starts = await consumer.beginning_offsets(consumer.assignment())
        ends = await consumer.end_offsets(consumer.assignment())
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await consumer.stop()
        await admin.close()
    ranges = []
    for partition, end in (ends if awaited is None else awaited).items():
        committed_offset = committed[partition].offset if partition in committed else -1
        ranges.append(PartitionRange(partition, max(committed_offset, starts[partition]), end))
    unread = await count_unread(settings, ranges)
    return ends, not any(count.records for count in unread.values())
