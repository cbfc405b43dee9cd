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

BUCKET_SECONDS = 5
"""The length of a bucket."""
BUCKET_COUNT = 60
_REFRESHED_BUCKETS = 2
"""The beginnings of the last so many are looked up again: the log is a moment behind the clock."""
_RATE_BUCKETS = 2
_TIMEOUT_SECONDS = 10

BucketCounts = tuple[int, ...]
"""Of each bucket (BUCKETS,), the oldest first; the last has just begun."""
_Offsets = Mapping[TopicPartition, int]


class ThroughputReader:
    """Of all tasks of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = [topics.predictions(task) for task in settings.tasks]
        self._partitions: list[TopicPartition] = []
        """Found once: they stay."""
        self._start_offsets: dict[int, _Offsets] = {}
        """By bucket, the offset with which it begins."""

    async def read(self, now: float) -> dict[str, BucketCounts]:
        """Each task's answers by the second `now`, in Unix time. Raises KafkaError, TimeoutError."""
        last = int(now) // BUCKET_SECONDS
        wanted = range(last - BUCKET_COUNT + 1, last + 1)
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            consumer = clients.create_consumer(self._settings)
            try:
                await consumer.start()
                self._partitions = self._partitions or await reader.fetch_partitions(self._settings, self._topics)
                consumer.assign(self._partitions)  # or each question begins by asking for the cluster's metadata
                consumer.pause(*self._partitions)
                ends = await consumer.end_offsets(self._partitions)
                self._start_offsets = {
                    bucket: await reader.fetch_first_offsets(consumer, bucket * BUCKET_SECONDS * 1000, ends)
                    if bucket > last - _REFRESHED_BUCKETS or bucket not in self._start_offsets
                    else self._start_offsets[bucket]
                    for bucket in wanted
                }
            finally:
                await consumer.stop()
        bounds = list(pairwise([*self._start_offsets.values(), ends]))
        return {
            task: tuple(
                sum(max(0, end[one] - first[one]) for one in ends if one.topic == topics.predictions(task))
                for first, end in bounds
            )
            for task in self._settings.tasks
        }


def answers_per_second(counts: BucketCounts) -> float:
    """The rate of the last whole buckets."""
    whole = counts[-_RATE_BUCKETS - 1 : -1]
    return sum(whole) / (len(whole) * BUCKET_SECONDS) if whole else 0.0
