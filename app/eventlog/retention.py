"""Kafka forgets what is archived: never by age alone, and never before everyone has read it."""

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
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings

log = logging.getLogger(__name__)


def required_groups(settings: Settings) -> dict[str, set[str]]:
    """The consumer groups that must have read each topic before anything of it is deleted: none for what never is."""
    archive, recorder = "hindsight-archive", "hindsight-recorder"
    found = {topics.DEAD_LETTERS: {archive, recorder}}
    for task in settings.tasks:
        found |= {
            topics.requests(task): {archive, "hindsight-preprocess"},
            topics.features(task): {archive, "hindsight-worker"},
            topics.predictions(task): {archive, recorder},
            topics.shadow_predictions(task): {archive, recorder},
            topics.feedback(task): {archive, recorder},
            topics.outcomes(task): {archive, recorder},
            topics.joins(task): {recorder},
        }
    return found


async def apply_retention(settings: Settings, now: datetime) -> dict[TopicPartition, int]:
    """Delete what may be forgotten; the first offset that is left, by partition. Raises KafkaError, SetupError.

    That is what is archived, was committed by every group that reads it, and was logged more than
    `kafka_retention_days` ago. A group that has never committed anything of a partition hasn't read it. `lifecycle` is
    kept for ever.
    """
    groups = required_groups(settings)
    held = {
        tp: one for tp, one in (await reader.fetch_offset_ranges(settings, list(groups))).items() if one.begin < one.end
    }
    if not held:
        return {}
    old = await _retention_offsets(settings, held, now)
    bounds = {tp: [one.end] for tp, one in held.items()}
    archived = set(topics.archived_topics(settings.tasks))
    ends = await asyncio.to_thread(
        archived_end_offsets, settings, {tp: one for tp, one in held.items() if tp.topic in archived}
    )
    for tp, end in ends.items():
        bounds[tp].append(end)
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        for group in sorted(set().union(*groups.values())):
            committed = await admin.list_consumer_group_offsets(group)
            for tp in held:
                if tp in committed:
                    bounds[tp].append(committed[tp].offset)
                elif group in groups[tp.topic]:
                    bounds[tp].append(0)
        # Whoever has read up to a marker of a transaction has read it too: nobody reads these.
        read = [PartitionRange(tp, max(one.begin, min(bounds[tp])), one.end) for tp, one in held.items()]
        firsts = {one.partition: left.first_offset for one, left in (await count_unread(settings, read)).items()}
        due = {tp: min(firsts[tp], old[tp]) for tp, one in held.items() if min(firsts[tp], old[tp]) > one.begin}
        if due:
            await asyncio.to_thread(os.sync)  # what the archive was told is written is on the disk
            await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in due.items()})
            log.info("Kafka forgets what is archived: %d events", sum(end - held[tp].begin for tp, end in due.items()))
    finally:
        await admin.close()
    return due


def archived_end_offsets(
    settings: Settings, offset_ranges: Mapping[TopicPartition, reader.OffsetRange]
) -> dict[TopicPartition, int]:
    """Where the archive of each partition ends."""
    archive = Archive(settings)
    tables = {topic: archive.table(topic) for topic in {tp.topic for tp in offset_ranges}}
    return {
        tp: 1 + last_archived_offset(tables[tp.topic], one.topic_id, tp.partition) for tp, one in offset_ranges.items()
    }


async def _retention_offsets(
    settings: Settings, offset_ranges: Mapping[TopicPartition, reader.OffsetRange], now: datetime
) -> dict[TopicPartition, int]:
    """The first offset of each partition that was logged in the last `kafka_retention_days`."""
    moment = round((now - timedelta(days=settings.kafka_retention_days)).timestamp() * 1000)
    consumer = clients.create_consumer(settings)
    await consumer.start()
    try:
        found = await consumer.offsets_for_times(dict.fromkeys(offset_ranges, moment))
    finally:
        await consumer.stop()
    return {tp: one.end if found.get(tp) is None else found[tp].offset for tp, one in offset_ranges.items()}
