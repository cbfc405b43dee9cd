"""Retention in Kafka: records are deleted once they are archived and every consumer group has read them."""

import asyncio
import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from app.eventlog.archive import Archive, last_archived_offset
from app.events import topics
from app.kafka import clients, reader
from app.kafka.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings

log = logging.getLogger(__name__)


def required_groups(settings: Settings) -> dict[str, set[str]]:
    """Return the consumer groups that must have read each topic's records before they are deleted."""
    archive, recorder = ARCHIVE_GROUP, RECORDER_GROUP
    groups = {topics.DEAD_LETTERS: {archive, recorder}}
    for task in settings.tasks:
        groups |= {
            topics.requests(task): {archive, PREPROCESS_GROUP},
            topics.features(task): {archive, WORKER_GROUP},
            topics.predictions(task): {archive, recorder},
            topics.shadow_predictions(task): {archive, recorder},
            topics.feedback(task): {archive, recorder},
            topics.outcomes(task): {archive, recorder},
            topics.joins(task): {recorder},
        }
    return groups


async def apply_retention(settings: Settings, now: datetime) -> dict[TopicPartition, int]:
    """Delete records from Kafka; return the first remaining offset by partition. Raises KafkaError, SetupError.

    Records are deleted if they are archived, committed by every group that reads the topic, and older than
    `kafka_retention_days`. A group without a committed offset has not read the partition. `lifecycle` is kept forever.
    """
    groups = required_groups(settings)
    offset_ranges = {
        tp: offset_range
        for tp, offset_range in (await reader.fetch_offset_ranges(settings, list(groups))).items()
        if offset_range.begin < offset_range.end
    }
    if not offset_ranges:
        return {}
    retention_offsets = await _retention_offsets(settings, offset_ranges, now)
    limits = {tp: [offset_range.end] for tp, offset_range in offset_ranges.items()}
    archived = set(topics.archived_topics(settings.tasks))
    archived_ends = await asyncio.to_thread(
        archived_end_offsets,
        settings,
        {tp: offset_range for tp, offset_range in offset_ranges.items() if tp.topic in archived},
    )
    for tp, end in archived_ends.items():
        limits[tp].append(end)
    async with clients.open_admin(settings) as admin:
        for group in sorted(set().union(*groups.values())):
            committed = await admin.list_consumer_group_offsets(group)
            for tp in offset_ranges:
                if tp in committed:
                    limits[tp].append(committed[tp].offset)
                elif group in groups[tp.topic]:
                    limits[tp].append(0)
        # Consumers never read transaction markers: a group that stands before one has read it, too.
        unread_ranges = [
            PartitionRange(tp, max(offset_range.begin, min(limits[tp])), offset_range.end)
            for tp, offset_range in offset_ranges.items()
        ]
        first_unread = {
            offset_range.partition: unread.first_offset
            for offset_range, unread in (await count_unread(settings, unread_ranges)).items()
        }
        deletable = {
            tp: min(first_unread[tp], retention_offsets[tp])
            for tp, offset_range in offset_ranges.items()
            if min(first_unread[tp], retention_offsets[tp]) > offset_range.begin
        }
        if deletable:
            await asyncio.to_thread(os.sync)  # the archive's files are on disk before Kafka deletes the records
            await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in deletable.items()})
            log.info(
                "deleted %d archived events from Kafka",
                sum(end - offset_ranges[tp].begin for tp, end in deletable.items()),
            )
    return deletable


def archived_end_offsets(
    settings: Settings, offset_ranges: Mapping[TopicPartition, reader.OffsetRange]
) -> dict[TopicPartition, int]:
    """Return the offset after the last archived one, by partition."""
    archive = Archive(settings)
    tables = {topic: archive.table(topic) for topic in {tp.topic for tp in offset_ranges}}
    return {
        tp: 1 + last_archived_offset(tables[tp.topic], offset_range.topic_id, tp.partition)
        for tp, offset_range in offset_ranges.items()
    }


async def _retention_offsets(
    settings: Settings, offset_ranges: Mapping[TopicPartition, reader.OffsetRange], now: datetime
) -> dict[TopicPartition, int]:
    """Return the first offset that was logged within the last `kafka_retention_days`, by partition."""
    timestamp_ms = round((now - timedelta(days=settings.kafka_retention_days)).timestamp() * 1000)
    consumer = clients.create_consumer(settings)
    await consumer.start()
    try:
        offsets = await consumer.offsets_for_times(dict.fromkeys(offset_ranges, timestamp_ms))
    finally:
        await consumer.stop()
    return {
        tp: offset_range.end if offsets.get(tp) is None else offsets[tp].offset
        for tp, offset_range in offset_ranges.items()
    }
