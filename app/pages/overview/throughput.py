"""How many answers there were lately, by Kafka's offsets: no event is read, and what is yet to be recorded counts.

Of these topics the platform is the only writer, without transactions: there each offset is a record.
"""

import asyncio
from collections.abc import Mapping
from itertools import pairwise

from aiokafka import TopicPartition

from app.events import topics
from app.kafka import clients, reader
from app.settings import Settings

SECONDS = 5
"""The length of a bucket."""
BUCKETS = 60
_LATE = 2
"""The beginnings of the last so many are looked up again: the log is a moment behind the clock."""
_WHOLE = 2
_TIMEOUT_SECONDS = 10

Counts = tuple[int, ...]
"""Of each bucket (BUCKETS,), the oldest first; the last has just begun."""
_Offsets = Mapping[TopicPartition, int]


class Traffic:
    """Of all tasks of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = [topics.predictions(task) for task in settings.tasks]
        self._partitions: list[TopicPartition] = []
        """Found once: they stay."""
        self._firsts: dict[int, _Offsets] = {}
        """By bucket, the offset with which it begins."""

    async def look(self, now: float) -> dict[str, Counts]:
        """Each task's answers by the second `now`, in Unix time. Raises KafkaError, TimeoutError."""
        last = int(now) // SECONDS
        wanted = range(last - BUCKETS + 1, last + 1)
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            consumer = clients.consumer(self._settings)
            try:
                await consumer.start()
                self._partitions = self._partitions or await reader.partitions_of(self._settings, self._topics)
                consumer.assign(self._partitions)  # or each question begins by asking for the cluster's metadata
                consumer.pause(*self._partitions)
                ends = await consumer.end_offsets(self._partitions)
                self._firsts = {
                    bucket: await reader.firsts(consumer, bucket * SECONDS * 1000, ends)
                    if bucket > last - _LATE or bucket not in self._firsts
                    else self._firsts[bucket]
                    for bucket in wanted
                }
            finally:
                await consumer.stop()
        bounds = list(pairwise([*self._firsts.values(), ends]))
        return {
            task: tuple(
                sum(max(0, end[one] - first[one]) for one in ends if one.topic == topics.predictions(task))
                for first, end in bounds
            )
            for task in self._settings.tasks
        }


def per_second(counts: Counts) -> float:
    """The rate of the last whole buckets."""
    whole = counts[-_WHOLE - 1 : -1]
    return sum(whole) / (len(whole) * SECONDS) if whole else 0.0
