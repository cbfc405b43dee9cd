"""Waiting until the platform has done all that there is to do with the log as it was at a moment."""

import asyncio
import time
from collections.abc import Callable, Mapping

from aiokafka import TopicPartition

from app.errors import SetupError
from app.eventlog.retention import archived_ends, readers
from app.events import topics
from app.kafka import clients, reader
from app.kafka.reader import Held
from app.kafka.unread_count import Range, unread
from app.settings import Settings

STALLED_SECONDS = 60.0
"""Whoever reads nothing for so long is not there."""
_POLL_SECONDS = 0.5
_ARCHIVE = "hindsight-archive"

Waiting = Callable[[str, int], None]
"""Called with a consumer group and how many events it has still to read."""


async def caught_up(settings: Settings, waiting: Waiting = lambda group, events: None) -> dict[TopicPartition, Held]:
    """Return once all that the log holds now, and all that is made from it, was read by every group and is archived.

    The answer is what Kafka held then. Raises `SetupError` when one of the groups makes no progress.
    """
    known: dict[TopicPartition, Held] = {}
    groups = readers(settings)
    of = [[kind(task) for task in settings.tasks] for kind in (topics.requests, topics.features)]
    said = (topics.predictions, topics.shadow_predictions, topics.feedback)
    of.append([kind(task) for task in settings.tasks for kind in said])
    of.append([topics.joins(task) for task in settings.tasks])
    of.append([topics.outcomes(task) for task in settings.tasks] + [topics.DEAD_LETTERS])
    for names in of:  # each makes what comes on the next
        held = await reader.held(settings, names)
        known |= held
        for group in sorted({group for name in names for group in groups[name]} - {_ARCHIVE}):
            theirs = {tp: one for tp, one in held.items() if group in groups[tp.topic]}
            await _wait(settings, group, theirs, waiting)
    archived = set(topics.archived(settings.tasks))
    held = await reader.held(settings, sorted({tp.topic for tp in known} & archived))
    await _wait(settings, _ARCHIVE, held, waiting)
    return known | held


async def _wait(settings: Settings, group: str, held: Mapping[TopicPartition, Held], waiting: Waiting) -> None:
    least, since = None, time.monotonic()
    while True:
        if group == _ARCHIVE:  # the tables themselves say what is in them
            done = await asyncio.to_thread(archived_ends, settings, held)
        else:
            done = await _committed(settings, group)
        # What Kafka has forgotten was read.
        left = await unread(settings, [Range(tp, max(done.get(tp, 0), one.begin), one.end) for tp, one in held.items()])
        events = sum(found.records for found in left.values())
        waiting(group, events)
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


async def _committed(settings: Settings, group: str) -> dict[TopicPartition, int]:
    admin = clients.admin(settings)
    await admin.start()
    try:
        return {tp: found.offset for tp, found in (await admin.list_consumer_group_offsets(group)).items()}
    finally:
        await admin.close()
