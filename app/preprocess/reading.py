"""How far the job has read the log, in time: the clock by which live sessions wait.

By the machine's clock a session would give up a chunk that is in the log, unread, because the job was away or behind.
"""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

POLL_MS = 1000
"""Kafka is asked so often at most, and only while a session may have waited long enough."""

Offsets = dict[TopicPartition, int]


class Reading:
    """What a consumer group has read of topics."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._asked: dict[str, int] = {}
        self._until: dict[str, int] = {}
        self._pending: dict[str, tuple[int, Offsets]] = {}

    def until(self, topic: str, now: int) -> int:
        """A time, in milliseconds since 1970, such that all that came into the topic before it has been read.

        That is known once the group has committed all offsets that there were then: a checkpoint later.
        """
        if now >= self._asked.get(topic, 0) + POLL_MS:
            try:
                ends, committed = asyncio.run(positions(self._bootstrap, self._group, topic))
            except (KafkaError, OSError) as error:  # sessions wait for what can't be read
                log.warning("how far %s is read can't be known: %s", topic, error)
            else:
                self._learn(topic, now, ends, committed)
            self._asked[topic] = now
        return self._until.get(topic, 0)

    def _learn(self, topic: str, now: int, ends: Offsets, committed: Offsets) -> None:
        when, awaited = self._pending.setdefault(topic, (now, ends))
        if all(committed.get(partition, 0) >= end for partition, end in awaited.items()):
            self._until[topic] = when
            self._pending[topic] = (now, ends)


async def positions(bootstrap: str, group: str, topic: str) -> tuple[Offsets, Offsets]:
    """The end of each partition that has records, and what the group has committed. Raises KafkaError."""
    admin, consumer = AIOKafkaAdminClient(bootstrap_servers=bootstrap), AIOKafkaConsumer(bootstrap_servers=bootstrap)
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
    # Nothing is committed of a partition that has always been empty.
    filled = {partition: end for partition, end in ends.items() if end > starts[partition]}
    return filled, {partition: known.offset for partition, known in committed.items()}
