"""Progress of the consumer groups: which records wait for a group, and whether its offsets advance.

A record waits once it is a few seconds old: a younger one may be processed already, but not committed yet. No record is
read: offsets suffice.
"""

import asyncio
import logging
import time
from dataclasses import replace
from math import inf

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from app.errors import describe
from app.events import topics
from app.kafka import clients, reader
from app.kafka.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP, fetch_deployment_lags
from app.monitoring.progress_tracker import GroupPosition, GroupProgress, GroupTopic, ProgressByGroup, ProgressTracker
from app.settings import Settings

log = logging.getLogger(__name__)

COMMIT_SECONDS = 3.0
"""Time that a commit may take, in addition to the interval of checkpoints or commits."""
SUSPICIOUS_SECONDS = 10.0
TIMEOUT_SECONDS = 5.0
CACHE_SECONDS = 1.5
"""A measurement is reused for so long."""

PROCESS_BY_GROUP = {
    PREPROCESS_GROUP: "preprocess",
    WORKER_GROUP: "worker",
    ARCHIVE_GROUP: "archive",
    RECORDER_GROUP: "recorder",
}
"""Consumer group -> the process of the Procfile."""


def topics_by_group(settings: Settings) -> dict[str, list[str]]:
    """Return the topics of each group."""
    tasks = settings.tasks
    return {
        PREPROCESS_GROUP: [topics.requests(task) for task in tasks],
        WORKER_GROUP: [topics.features(task) for task in tasks],
        ARCHIVE_GROUP: topics.archived_topics(tasks),
        RECORDER_GROUP: [name(task) for task in tasks for name in (topics.predictions, topics.feedback, topics.joins)],
    }


class ProgressMonitor:
    """Monitor of the progress of a deployment's groups, with clients that stay connected."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups = topics_by_group(settings)
        self._tracker = ProgressTracker(settings.unanswered_seconds)
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._partitions: list[TopicPartition] = []
        self._refresh_lock = asyncio.Lock()
        self._refreshed_at = -inf
        self.group_progress: ProgressByGroup = {}
        """The last measurement; empty while the progress is unknown."""
        self.unknown_reason = "it has not been measured yet"
        """Why the progress is unknown; empty if it is known."""

    async def refresh(self) -> None:
        """Measure the progress, unless it was just measured."""
        async with self._refresh_lock:
            if time.monotonic() - self._refreshed_at < CACHE_SECONDS:
                return
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    self.group_progress, self.unknown_reason = await self.measure(), ""
            except UnknownTopicOrPartitionError as error:
                self.group_progress, self.unknown_reason = {}, str(error)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the progress of the consumer groups is unknown: %s", describe(error))
                self.group_progress, self.unknown_reason = {}, "no broker answers"
            self._refreshed_at = time.monotonic()

    async def measure(self) -> dict[GroupTopic, GroupProgress]:
        """Return the progress now. Raises KafkaError, OSError or TimeoutError if it cannot be measured."""
        try:
            positions = await self._positions(time.time())
        except BaseException:
            await self.close()
            raise
        progress = self._tracker.update(time.monotonic(), positions)
        return await self._discount_gaps(progress)

    async def close(self) -> None:
        """Close the clients."""
        if self._clients is not None:
            (admin, consumer), self._clients = self._clients, None
            await consumer.stop()
            await admin.close()

    async def _discount_gaps(self, progress: dict[GroupTopic, GroupProgress]) -> dict[GroupTopic, GroupProgress]:
        """Correct groups that seem stalled if no records wait, but only offsets without a record."""
        suspects = [key for key, group in progress.items() if group.stalled_seconds > SUSPICIOUS_SECONDS]
        if not suspects:
            return progress
        lags = await fetch_deployment_lags(self._settings, TIMEOUT_SECONDS)
        if isinstance(lags, str):
            raise KafkaError(lags)
        for group, topic in suspects:
            if lags[group][topic] == 0:
                position = replace(progress[group, topic].position, waiting=0, overdue=0)
                progress[group, topic] = replace(progress[group, topic], position=position, stalled_seconds=0.0)
        return progress

    async def _positions(self, now: float) -> dict[GroupTopic, GroupPosition]:
        admin, consumer = await self._connect()
        committed = {group: await admin.list_consumer_group_offsets(group) for group in self._groups}
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        settled = await reader.fetch_first_offsets(consumer, self._cutoff_ms(now, 0.0), ends)
        overdue = await reader.fetch_first_offsets(
            consumer, self._cutoff_ms(now, self._settings.unanswered_seconds), ends
        )
        positions: dict[GroupTopic, GroupPosition] = {}
        for group, names in self._groups.items():
            done = {
                tp: max(offset.offset, begins.get(tp, 0)) if (offset := committed[group].get(tp)) else begins[tp]
                for tp in self._partitions
            }
            for topic in names:
                partitions = [tp for tp in self._partitions if tp.topic == topic]
                positions[group, topic] = GroupPosition(
                    committed=sum(done[tp] for tp in partitions),
                    waiting=sum(max(0, settled[tp] - done[tp]) for tp in partitions),
                    overdue=sum(max(0, overdue[tp] - done[tp]) for tp in partitions),
                    end=sum(ends[tp] for tp in partitions),
                )
        return positions

    def _cutoff_ms(self, now: float, seconds: float) -> int:
        """Return the Unix time before which a record of this age was logged."""
        settled = COMMIT_SECONDS + max(self._settings.checkpoint_seconds, self._settings.archive_seconds)
        return round((now - max(settled, seconds)) * 1000)

    async def _connect(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._clients is None:
            admin = clients.create_admin(self._settings)
            consumer = clients.create_consumer(self._settings)
            self._clients = admin, consumer
            await admin.start()
            await consumer.start()
            names = sorted({topic for group_topics in self._groups.values() for topic in group_topics})
            self._partitions = await reader.fetch_partitions(self._settings, names)
            consumer.assign(self._partitions)  # otherwise each request first fetches the cluster's metadata
            consumer.pause(*self._partitions)
            if missing := set(names) - {tp.topic for tp in self._partitions}:
                raise UnknownTopicOrPartitionError(f"missing topics: {', '.join(sorted(missing))}")
        return self._clients
