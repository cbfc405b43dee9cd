"""Batches of the log into the archive, without a hole that Kafka could have filled.

A batch need not go on from where the archive ends: the archive may have been lost, or restored from a backup, and the
group's offsets may have been moved. What is missing is then read from Kafka again first.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.errors import Unavailable
from app.eventlog.archive import Archive, ArchiveGap, transaction_app_id
from app.events.cloudevents import ConsumedRecord
from app.kafka import reader
from app.monitoring import metrics
from app.settings import Settings

_MAX_CONCURRENT_COMMITS = 2
"""Commits at a time: each has its batch in memory several times, as records, as columns and as Parquet."""

log = logging.getLogger(__name__)


class ArchiveWriter:
    """Writes what an archive process reads. What can't be written waits: nothing is ever rejected, or left out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._archive = Archive(settings)
        self._commit_slots = asyncio.Semaphore(_MAX_CONCURRENT_COMMITS)

    async def write(self, records: Sequence[ConsumedRecord]) -> None:
        """Return once all records, of one topic, are in the archive. Raises `Unavailable`: try again."""
        since: dict[str, int] = {}
        while True:
            try:
                return await self._append(records, since)
            except ArchiveGap as gap:
                await self._fill_gap(gap, records, since)

    async def _fill_gap(self, gap: ArchiveGap, records: Sequence[ConsumedRecord], since: dict[str, int]) -> None:
        """Archive what Kafka holds from the gap on, up to the last of the records."""
        topic, partition, epoch = gap.origin.topic, gap.origin.partition, gap.origin.topic_id
        end = 1 + max(
            one.origin.offset for one in records if (one.origin.partition, one.origin.topic_id) == (partition, epoch)
        )
        log.info(
            "archive: %s, partition %d: reading offsets %d to %d again", topic, partition, gap.start_offset, end - 1
        )
        tp = TopicPartition(topic, partition)
        try:
            held = (await reader.fetch_offset_ranges(self._settings, [topic])).get(tp)
            begin = held.begin if held is not None and held.topic_id == epoch else gap.origin.offset
            if begin > gap.start_offset:
                metrics.ARCHIVE_LOST.labels(topic).inc(begin - gap.start_offset)
                log.error(
                    "archive: %s, partition %d: the offsets %d to %d are lost: they are neither in the archive nor in "
                    "Kafka. Was the archive moved or restored?",
                    *(topic, partition, gap.start_offset, begin - 1),
                )
            since[transaction_app_id(epoch, partition)] = gap.start_offset
            if held is not None and held.topic_id == epoch:
                async for found in reader.read_ranges(
                    self._settings, {tp: (max(begin, gap.start_offset), end)}, {topic: epoch}
                ):
                    await self._append(found, since)
        except KafkaError as error:
            raise Unavailable(f"the gap in the archive of {topic} can't be filled from Kafka: {error!r}") from error

    async def _append(self, records: Sequence[ConsumedRecord], since: Mapping[str, int]) -> None:
        async with self._commit_slots:
            try:
                await asyncio.to_thread(self._archive.append, records, since)
            except (ArchiveGap, Unavailable):
                raise
            except Exception as error:  # whatever it is: an event that is not archived must not be passed over
                log.exception("archive: %s: %d events can't be written", records[0].origin.topic, len(records))
                raise Unavailable(f"{type(error).__name__}: {error}") from error
