"""The archive agents: every topic of the log into its Delta table, with guarded delivery."""

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
    # A backlog stays in Kafka: the limit of record batches of each topic that wait in memory for the next commit ...
    "stream_buffer_maxsize": 4,
    # ... and of bytes of each partition. A larger event is fetched alone.
    "consumer_max_fetch_size": MiB,
}


def register(app: App, settings: Settings) -> None:
    """Register an agent for each topic, which has its own table, and the maintenance, by one process of the group."""
    writer = ArchiveWriter(settings)

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        await writer.write(batch)
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

    async def maintain() -> None:
        await run_maintenance(settings, lambda: TP(topics.LIFECYCLE, 0) in app.consumer.assignment())

    app.task(maintain)


def _reject(record: ConsumedRecord, failure: Failure) -> Sequence[Record]:
    """Fail: every record of the log is archived, whatever it holds."""
    raise AssertionError(f"{record.origin.position} cannot be archived: {failure.reason}")
