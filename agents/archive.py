"""The archive agents: every topic of the log into its Delta table, inside the delivery guard."""

from collections.abc import Sequence

from faust.types import TP

from app.eventlog.maintenance import run_maintenance
from app.eventlog.writer import ArchiveWriter
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Record
from app.events.types import Failure
from app.settings import MiB, Settings
from app.streams.batching import BatchLimits
from app.streams.delivery import HandlerResult
from app.streams.faust_app import App, register_agent

STAGE = "archive"
MAX_COMMIT_BYTES = 16 * MiB
FAUST_SETTINGS = {
    # A backlog stays in Kafka. Up to so many events of each topic wait in memory for the next batch ...
    "stream_buffer_maxsize": 32,
    # ... and so much of each partition; a larger event comes alone.
    "consumer_max_fetch_size": MiB,
}


def register(app: App, settings: Settings) -> None:
    """One agent for each topic, each with a table of its own; and housekeeping, by one process of the group."""
    archiver = ArchiveWriter(settings)

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        await archiver.write(batch)
        return [()] * len(batch)

    for topic in topics.archived_topics(settings.tasks):
        register_agent(
            app,
            settings,
            name=f"archive-{topic}",
            topic=topic,
            stage=STAGE,
            handle=handle,
            reject=_reject,
            limits=BatchLimits(settings.archive_events, settings.archive_seconds, MAX_COMMIT_BYTES),
        )

    async def housekeeping() -> None:
        await run_maintenance(settings, lambda: TP(topics.LIFECYCLE, 0) in app.consumer.assignment())

    app.task(housekeeping)


def _reject(incoming: ConsumedRecord, failure: Failure) -> Sequence[Record]:
    """What is in the log is archived, whatever it holds: nothing is ever rejected here."""
    raise AssertionError(f"{incoming.origin.position} can't be archived: {failure.reason}")
