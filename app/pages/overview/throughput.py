"""Recent answers of each task, counted by Kafka offsets, so that no event is read and unrecorded answers count.

The platform is the only producer of these topics and uses no transactions, so each offset is a record.
"""

import asyncio
from collections.abc import Mapping
from itertools import pairwise

from aiokafka import TopicPartition

from app.events import topics
from app.kafka import clients, reader
from app.settings import Settings

BUCKET_SECONDS = 5
BUCKET_COUNT = 60
_REFRESHED_BUCKETS = 2
"""The start offsets of the last buckets are fetched again, because the log lags behind the clock."""
_RATE_BUCKETS = 2
_TIMEOUT_SECONDS = 10

BucketCounts = tuple[int, ...]
"""Counts of the buckets (BUCKET_COUNT,), oldest first; the last bucket has just begun."""
_Offsets = Mapping[TopicPartition, int]


class ThroughputReader:
    """Reads the recent answers of all tasks of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = [topics.predictions(task) for task in settings.tasks]
        self._partitions: list[TopicPartition] = []
        """Fetched once, because partitions don't change."""
        self._start_offsets: dict[int, _Offsets] = {}
        """The start offsets of each bucket."""

    async def read(self, now: float) -> dict[str, BucketCounts]:
        """Return the counts of each task until `now`, in seconds since 1970. Raises KafkaError, TimeoutError."""
        last = int(now) // BUCKET_SECONDS
        buckets = range(last - BUCKET_COUNT + 1, last + 1)
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            consumer = clients.create_consumer(self._settings)
            try:
                await consumer.start()
                self._partitions = self._partitions or await reader.fetch_partitions(self._settings, self._topics)
                consumer.assign(self._partitions)  # otherwise each query first fetches the cluster's metadata
                consumer.pause(*self._partitions)
                ends = await consumer.end_offsets(self._partitions)
                self._start_offsets = {
                    bucket: await reader.fetch_first_offsets(consumer, bucket * BUCKET_SECONDS * 1000, ends)
                    if bucket > last - _REFRESHED_BUCKETS or bucket not in self._start_offsets
                    else self._start_offsets[bucket]
                    for bucket in buckets
                }
            finally:
                await consumer.stop()
        bounds = list(pairwise([*self._start_offsets.values(), ends]))
        return {
            task: tuple(
                sum(max(0, end[tp] - start[tp]) for tp in ends if tp.topic == topics.predictions(task))
                for start, end in bounds
            )
            for task in self._settings.tasks
        }


def answers_per_second(counts: BucketCounts) -> float:
    """Return the rate in the last complete buckets."""
    complete = counts[-_RATE_BUCKETS - 1 : -1]
    return sum(complete) / (len(complete) * BUCKET_SECONDS) if complete else 0.0
