"""Waiting until the platform has done all that there is to do with the log as it was at a moment."""

import asyncio
import time
from collections.abc import Callable, Mapping

from aiokafka import TopicPartition

from app.errors import SetupError
from app.eventlog.retention import archived_end_offsets, required_groups
from app.events import topics
from app.kafka import clients, reader
from app.kafka.reader import OffsetRange
from app.kafka.unread_count import PartitionRange, count_unread
from app.settings import Settings

STALLED_SECONDS = 60.0
"""Whoever reads nothing for so long is not there."""
_POLL_SECONDS = 0.5
_ARCHIVE_GROUP = "hindsight-archive"

CatchUpProgress = Callable[[str, int], None]
"""Called with a consumer group and how many events it has still to read."""


async def wait_until_caught_up(
    settings: Settings, progress: CatchUpProgress = lambda group, events: None
) -> dict[TopicPartition, OffsetRange]:
    """Return once all that the log holds now, and all that is made from it, was read by every group and is archived.

    The answer is what Kafka held then. Raises `SetupError` when one of the groups makes no progress.
    """
    known: dict[TopicPartition, OffsetRange] = {}
    groups = required_groups(settings)
    of = [[kind(task) for task in settings.tasks] for kind in (topics.requests, topics.features)]
    said = (topics.predictions, topics.shadow_predictions, topics.feedback)
    of.append([kind(task) for task in settings.tasks for kind in said])
    of.append([topics.joins(task) for task in settings.tasks])
    of.append([topics.outcomes(task) for task in settings.tasks] + [topics.DEAD_LETTERS])
    for names in of:  # each makes what comes on the next
        held = await reader.fetch_offset_ranges(settings, names)
        known |= held
        for group in sorted({group for name in names for group in groups[name]} - {_ARCHIVE_GROUP}):
            theirs = {tp: one for tp, one in held.items() if group in groups[tp.topic]}
            await _wait_for_group(settings, group, theirs, progress)
    archived = set(topics.archived_topics(settings.tasks))
    held = await reader.fetch_offset_ranges(settings, sorted({tp.topic for tp in known} & archived))
    await _wait_for_group(settings, _ARCHIVE_GROUP, held, progress)
    return known | held


async def _wait_for_group(
    settings: Settings, group: str, offset_ranges: Mapping[TopicPartition, OffsetRange], progress: CatchUpProgress
) -> None:
    least, since = None, time.monotonic()
    while True:
        if group == _ARCHIVE_GROUP:  # the tables themselves say what is in them
            done = await asyncio.to_thread(archived_end_offsets, settings, offset_ranges)
        else:
            done = await _fetch_committed_offsets(settings, group)
        # What Kafka has forgotten was read.
        left = await count_unread(
            settings,
            [PartitionRange(tp, max(done.get(tp, 0), one.begin), one.end) for tp, one in offset_ranges.items()],
        )
        events = sum(found.records for found in left.values())
        progress(group, events)
        if not events:
            return
        if least is None or events < least:
            least, since = events, time.monotonic()
        if time.monotonic() - since > STALLED_SECONDS:
            named = sorted({one.partition.topic for one, found in left.items() if found.records})
            raise SetupError(
                f"{events} events of {', '.join(named)} wait for {group}, which reads nothing.",
                "Start the platform (`hindsight up`), and run this again; `hindsight doctor` says what is not ready.",
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _fetch_committed_offsets(settings: Settings, group: str) -> dict[TopicPartition, int]:
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        return {tp: found.offset for tp, found in (await admin.list_consumer_group_offsets(group)).items()}
    finally:
        await admin.close()
