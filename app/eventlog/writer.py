"""Writing of the log into the archive without gaps that Kafka could fill.

A batch may start beyond the end of the archive: the archive may be lost or restored from a backup, or the group's
offsets may have been moved. The missing records are then read from Kafka first.
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
"""Each commit has its batch in memory several times: as records, as columns and as Parquet."""

log = logging.getLogger(__name__)


class ArchiveWriter:
    """Writes batches to the archive. A batch that can't be written waits: no record is rejected or left out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._archive = Archive(settings)
        self._commit_slots = asyncio.Semaphore(_MAX_CONCURRENT_COMMITS)

    async def write(self, records: Sequence[ConsumedRecord]) -> None:
        """Return once all records, of one topic, are archived. Raises `Unavailable`: try again."""
        complete_from: dict[str, int] = {}
        while True:
            try:
                return await self._append(records, complete_from)
            except ArchiveGap as gap:
                await self._fill_gap(gap, records, complete_from)

    async def _fill_gap(
        self, gap: ArchiveGap, records: Sequence[ConsumedRecord], complete_from: dict[str, int]
    ) -> None:
        """Archive the records that Kafka holds from the gap to the last of these records."""
        topic, partition, epoch = gap.origin.topic, gap.origin.partition, gap.origin.topic_id
        end = 1 + max(
            record.origin.offset
            for record in records
            if (record.origin.partition, record.origin.topic_id) == (partition, epoch)
        )
        log.info(
            "archive: %s, partition %d: reading offsets %d to %d again", topic, partition, gap.start_offset, end - 1
        )
        tp = TopicPartition(topic, partition)
        try:
            offset_range = (await reader.fetch_offset_ranges(self._settings, [topic])).get(tp)
            begin = (
                offset_range.begin if offset_range is not None and offset_range.topic_id == epoch else gap.origin.offset
            )
            if begin > gap.start_offset:
                metrics.ARCHIVE_LOST.labels(topic).inc(begin - gap.start_offset)
                log.error(
                    "archive: %s, partition %d: the offsets %d to %d are lost: they are neither in the archive nor in "
                    "Kafka. Check whether the archive was moved or restored.",
                    *(topic, partition, gap.start_offset, begin - 1),
                )
            complete_from[transaction_app_id(epoch, partition)] = gap.start_offset
            if offset_range is not None and offset_range.topic_id == epoch:
                async for batch in reader.read_ranges(
                    self._settings, {tp: (max(begin, gap.start_offset), end)}, {topic: epoch}
                ):
                    await self._append(batch, complete_from)
        except KafkaError as error:
            raise Unavailable(f"the gap in the archive of {topic} can't be filled from Kafka: {error!r}") from error

    async def _append(self, records: Sequence[ConsumedRecord], complete_from: Mapping[str, int]) -> None:
        async with self._commit_slots:
            try:
                await asyncio.to_thread(self._archive.append, records, complete_from)
            except (ArchiveGap, Unavailable):
                raise
            except Exception as error:  # any error: an event that is not archived must not be skipped
                log.exception("archive: %s: %d events can't be written", records[0].origin.topic, len(records))
                raise Unavailable(f"{type(error).__name__}: {error}") from error
