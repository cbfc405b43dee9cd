"""Progress: which records wait for a consumer group, and whether the group moves.

A record waits once it is a few seconds old: what is younger may be answered already, and not be committed yet.
Nothing here reads a record; all is found by offsets.
"""

import asyncio
import logging
import time
from dataclasses import replace
from math import inf

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from app.events import topics
from app.kafka import clients, reader
from app.kafka.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP, fetch_deployment_lags
from app.monitoring.progress_tracker import GroupPosition, GroupProgress, GroupTopic, ProgressByGroup, ProgressTracker
from app.settings import Settings

log = logging.getLogger(__name__)

COMMIT_SECONDS = 3.0
"""How long what is done may take to be committed, beside the interval of checkpoints or commits."""
SUSPICIOUS_SECONDS = 10.0
TIMEOUT_SECONDS = 5.0
CACHE_SECONDS = 1.5
"""Whoever looks within this time sees what was just seen."""

PROCESS_BY_GROUP = {
    PREPROCESS_GROUP: "preprocess",
    WORKER_GROUP: "worker",
    ARCHIVE_GROUP: "archive",
    RECORDER_GROUP: "recorder",
}
"""Of each consumer group, the process of the Procfile."""


def topics_by_group(settings: Settings) -> dict[str, list[str]]:
    """Of each group, its topics."""
    tasks = settings.tasks
    return {
        PREPROCESS_GROUP: [topics.requests(task) for task in tasks],
        WORKER_GROUP: [topics.features(task) for task in tasks],
        ARCHIVE_GROUP: topics.archived_topics(tasks),
        RECORDER_GROUP: [of(task) for task in tasks for of in (topics.predictions, topics.feedback, topics.joins)],
    }


class ProgressMonitor:
    """Follows the progress of a deployment's groups, by clients that stay connected."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups = topics_by_group(settings)
        self._tracker = ProgressTracker(settings.unanswered_seconds)
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._partitions: list[TopicPartition] = []
        self._refresh_lock = asyncio.Lock()
        self._refreshed_at = -inf
        self.group_progress: ProgressByGroup = {}
        """As they were seen last; empty while they aren't known."""
        self.unknown_reason = "it has not been looked at yet"
        """Why they aren't known; empty where they are."""

    async def refresh(self) -> None:
        """Look, unless somebody has just looked."""
        async with self._refresh_lock:
            if time.monotonic() - self._refreshed_at < CACHE_SECONDS:
                return
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    self.group_progress, self.unknown_reason = await self.measure(), ""
            except UnknownTopicOrPartitionError as error:
                self.group_progress, self.unknown_reason = {}, str(error)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("what waits in Kafka is not known: %s", error or type(error).__name__)
                self.group_progress, self.unknown_reason = {}, "no broker answers"
            self._refreshed_at = time.monotonic()

    async def measure(self) -> dict[GroupTopic, GroupProgress]:
        """How things stand now. Raises KafkaError, OSError or TimeoutError where that can't be known."""
        try:
            places = await self._positions(time.time())
        except BaseException:
            await self.close()
            raise
        standings = self._tracker.update(time.monotonic(), places)
        return await self._discount_gaps(standings)

    async def close(self) -> None:
        """End the clients."""
        if self._clients is not None:
            (admin, consumer), self._clients = self._clients, None
            await consumer.stop()
            await admin.close()

    async def _discount_gaps(self, standings: dict[GroupTopic, GroupProgress]) -> dict[GroupTopic, GroupProgress]:
        """Where a group seems to stand still it is asked whether records wait, or only offsets without a record."""
        suspects = [key for key, one in standings.items() if one.stalled_seconds > SUSPICIOUS_SECONDS]
        if not suspects:
            return standings
        lags = await fetch_deployment_lags(self._settings, TIMEOUT_SECONDS)
        if isinstance(lags, str):
            raise KafkaError(lags)
        for group, topic in suspects:
            if lags[group][topic] == 0:
                place = replace(standings[group, topic].position, waiting=0, overdue=0)
                standings[group, topic] = replace(standings[group, topic], position=place, stalled_seconds=0.0)
        return standings

    async def _positions(self, now: float) -> dict[GroupTopic, GroupPosition]:
        admin, consumer = await self._connect()
        committed = {group: await admin.list_consumer_group_offsets(group) for group in self._groups}
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        settled = await reader.fetch_first_offsets(consumer, self._cutoff_ms(now, 0.0), ends)
        overdue = await reader.fetch_first_offsets(
            consumer, self._cutoff_ms(now, self._settings.unanswered_seconds), ends
        )
        found: dict[GroupTopic, GroupPosition] = {}
        for group, names in self._groups.items():
            done = {
                tp: max(offset.offset, begins.get(tp, 0)) if (offset := committed[group].get(tp)) else begins[tp]
                for tp in self._partitions
            }
            for topic in names:
                of = [tp for tp in self._partitions if tp.topic == topic]
                found[group, topic] = GroupPosition(
                    committed=sum(done[tp] for tp in of),
                    waiting=sum(max(0, settled[tp] - done[tp]) for tp in of),
                    overdue=sum(max(0, overdue[tp] - done[tp]) for tp in of),
                    end=sum(ends[tp] for tp in of),
                )
        return found

    def _cutoff_ms(self, now: float, seconds: float) -> int:
        """A moment of Unix time before which a record of this age was logged."""
        settled = COMMIT_SECONDS + max(self._settings.checkpoint_seconds, self._settings.archive_seconds)
        return round((now - max(settled, seconds)) * 1000)

    async def _connect(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._clients is None:
            admin = clients.create_admin(self._settings)
            consumer = clients.create_consumer(self._settings)
            self._clients = admin, consumer
            await admin.start()
            await consumer.start()
            names = sorted({topic for of in self._groups.values() for topic in of})
            self._partitions = await reader.fetch_partitions(self._settings, names)
            consumer.assign(self._partitions)  # or each question begins by asking for the cluster's metadata
            consumer.pause(*self._partitions)
            if missing := set(names) - {tp.topic for tp in self._partitions}:
                raise UnknownTopicOrPartitionError(f"missing topics: {', '.join(sorted(missing))}")
        return self._clients
