"""Waiting until every consumer group has processed the log as it was at one time."""

import asyncio
import time
from collections.abc import Callable, Mapping

from aiokafka import TopicPartition

from app.errors import SetupError
from app.eventlog.retention import archived_end_offsets, required_groups
from app.events import topics
from app.kafka import clients, reader
from app.kafka.lag import ARCHIVE_GROUP
from app.kafka.reader import OffsetRange
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings

STALLED_SECONDS = 60.0
"""A group that reads nothing for this long is considered absent."""
_POLL_SECONDS = 0.5

CatchUpProgress = Callable[[str, int], None]
"""Called with a consumer group and the number of events that it has not read yet."""


async def wait_until_caught_up(
    settings: Settings, progress: CatchUpProgress = lambda group, events: None
) -> dict[TopicPartition, OffsetRange]:
    """Return once all records that the log holds now, and all derived from them, were read by every group and archived.

    Return the offset ranges in Kafka at that time. Raises `SetupError` if a group makes no progress.
    """
    all_ranges: dict[TopicPartition, OffsetRange] = {}
    groups = required_groups(settings)
    stages = [[kind(task) for task in settings.tasks] for kind in (topics.requests, topics.features)]
    joined_topics = (topics.predictions, topics.shadow_predictions, topics.feedback)
    stages.append([kind(task) for task in settings.tasks for kind in joined_topics])
    stages.append([topics.joins(task) for task in settings.tasks])
    stages.append([topics.outcomes(task) for task in settings.tasks] + [topics.DEAD_LETTERS])
    for names in stages:  # records of each stage produce those of the next
        offset_ranges = await reader.fetch_offset_ranges(settings, names)
        all_ranges |= offset_ranges
        for group in sorted({group for name in names for group in groups[name]} - {ARCHIVE_GROUP}):
            group_ranges = {tp: offset_range for tp, offset_range in offset_ranges.items() if group in groups[tp.topic]}
            await _wait_for_group(settings, group, group_ranges, progress)
    archived = set(topics.archived_topics(settings.tasks))
    offset_ranges = await reader.fetch_offset_ranges(settings, sorted({tp.topic for tp in all_ranges} & archived))
    await _wait_for_group(settings, ARCHIVE_GROUP, offset_ranges, progress)
    return all_ranges | offset_ranges


async def _wait_for_group(
    settings: Settings, group: str, offset_ranges: Mapping[TopicPartition, OffsetRange], progress: CatchUpProgress
) -> None:
    min_events, last_progress = None, time.monotonic()
    while True:
        if group == ARCHIVE_GROUP:  # the tables store their offsets
            end_offsets = await asyncio.to_thread(archived_end_offsets, settings, offset_ranges)
        else:
            end_offsets = await _fetch_committed_offsets(settings, group)
        # Records that Kafka has deleted were read.
        unread = await count_unread(
            settings,
            [
                PartitionRange(tp, max(end_offsets.get(tp, 0), offset_range.begin), offset_range.end)
                for tp, offset_range in offset_ranges.items()
            ],
        )
        events = sum(count.records for count in unread.values())
        progress(group, events)
        if not events:
            return
        if min_events is None or events < min_events:
            min_events, last_progress = events, time.monotonic()
        if time.monotonic() - last_progress > STALLED_SECONDS:
            waiting_topics = sorted(
                {offset_range.partition.topic for offset_range, count in unread.items() if count.records}
            )
            raise SetupError(
                f"{events} events of {', '.join(waiting_topics)} wait for {group}, which makes no progress.",
                "Start the platform (`hindsight up`), and run this again; `hindsight doctor` shows what is not ready.",
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _fetch_committed_offsets(settings: Settings, group: str) -> dict[TopicPartition, int]:
    async with clients.open_admin(settings) as admin:
        return {tp: committed.offset for tp, committed in (await admin.list_consumer_group_offsets(group)).items()}
