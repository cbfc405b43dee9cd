"""The archive agents: every topic of the log into its Delta table, inside the delivery guard."""

from collections.abc import Sequence

from faust.types import TP

from app.eventlog.maintenance import keep_house
from app.eventlog.writer import Archiver
from app.events import topics
from app.events.cloudevents import Incoming, Record
from app.events.types import Failure
from app.settings import MiB, Settings
from app.streams.batching import Bounds
from app.streams.delivery import Answer
from app.streams.faust_app import App, agent

STAGE = "archive"
COMMIT_BYTES = 16 * MiB
FAUST = {
    # A backlog stays in Kafka. Up to so many events of each topic wait in memory for the next batch ...
    "stream_buffer_maxsize": 32,
    # ... and so much of each partition; a larger event comes alone.
    "consumer_max_fetch_size": MiB,
}


def register(app: App, settings: Settings) -> None:
    """One agent for each topic, each with a table of its own; and housekeeping, by one process of the group."""
    archiver = Archiver(settings)

    async def handle(batch: Sequence[Incoming]) -> Sequence[Answer]:
        await archiver.write(batch)
        return [()] * len(batch)

    for topic in topics.archived(settings.tasks):
        agent(
            app,
            settings,
            name=f"archive-{topic}",
            topic=topic,
            stage=STAGE,
            handle=handle,
            reject=_reject,
            bounds=Bounds(settings.archive_events, settings.archive_seconds, COMMIT_BYTES),
        )

    async def housekeeping() -> None:
        await keep_house(settings, lambda: TP(topics.LIFECYCLE, 0) in app.consumer.assignment())

    app.task(housekeeping)


def _reject(incoming: Incoming, failure: Failure) -> Sequence[Record]:
    """What is in the log is archived, whatever it holds: nothing is ever rejected here."""
    raise AssertionError(f"{incoming.origin.place} can't be archived: {failure.reason}")
