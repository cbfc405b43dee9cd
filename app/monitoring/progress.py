"""Progress: which records wait for a consumer group, and whether the group moves.

A record waits once it is older than `SETTLED_SECONDS`: what is younger may be answered already and not be committed yet.
Nothing here reads a record; all is found by offsets.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app import topics
from app.eventlog import tail
from app.monitoring.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP, deployment_lags
from app.settings import Settings

COMMIT_SECONDS = 3.0
"""How long what is done may take to be committed, beside the interval of checkpoints or commits."""
SUSPICIOUS_SECONDS = 10.0
TIMEOUT_SECONDS = 10.0

PROCESS_OF = {
    PREPROCESS_GROUP: "preprocess",
    WORKER_GROUP: "worker",
    ARCHIVE_GROUP: "archive",
    RECORDER_GROUP: "recorder",
}
"""Of each consumer group, the process of the Procfile."""

Key = tuple[str, str]
"""A group and a topic."""


def groups(settings: Settings) -> dict[str, list[str]]:
    """Of each group, its topics."""
    tasks = settings.tasks
    return {
        PREPROCESS_GROUP: [topics.requests(task) for task in tasks],
        WORKER_GROUP: [topics.features(task) for task in tasks],
        ARCHIVE_GROUP: topics.archived(tasks),
        RECORDER_GROUP: [of(task) for task in tasks for of in (topics.predictions, topics.feedback, topics.joins)],
    }


@dataclass(frozen=True)
class Place:
    """Where a group stands in a topic, all partitions together."""

    committed: int
    """The sum of its offsets."""
    waiting: int = 0
    """Records that wait for it."""
    overdue: int = 0
    """Those of them that have waited for `unanswered_seconds`."""
    end: int = 0
    """The sum of the topic's ends."""


@dataclass(frozen=True)
class Standing:
    """A place, and how long it has been the same."""

    place: Place
    still_seconds: float = 0.0
    """How long the group has committed nothing although records wait."""
    quiet_seconds: float | None = None
    """How long the topic has not grown; None where it was never seen to."""


Standings = Mapping[Key, Standing]


class Tracker:
    """Remembers when each group moved. Pure: it is told the time."""

    def __init__(self, unanswered_seconds: float) -> None:
        """What is overdue when it is seen for the first time has stood still for so long."""
        self._unanswered_seconds = unanswered_seconds
        self._moved: dict[Key, float] = {}
        self._grew: dict[Key, float] = {}
        self._places: dict[Key, Place] = {}

    def hear(self, now: float, places: Mapping[Key, Place]) -> dict[Key, Standing]:
        """How things stand now."""
        for key, place in places.items():
            before = self._places.get(key)
            if before is None:  # whether it moves is seen at the next look
                self._moved[key] = now - (self._unanswered_seconds if place.overdue else 0.0)
            elif before.committed != place.committed or not place.waiting:
                self._moved[key] = now
            if before is not None and before.end != place.end:
                self._grew[key] = now
        self._places = dict(places)
        return {
            key: Standing(place, now - self._moved[key], now - self._grew[key] if key in self._grew else None)
            for key, place in places.items()
        }


class Progress:
    """Follows the progress of a deployment's groups, by clients that stay connected."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups = groups(settings)
        self._tracker = Tracker(settings.unanswered_seconds)
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._partitions: list[TopicPartition] = []

    async def look(self) -> dict[Key, Standing]:
        """How things stand now. Raises KafkaError, OSError or TimeoutError where that can't be known."""
        try:
            places = await self._places(time.time())
        except BaseException:
            await self.close()
            raise
        standings = self._tracker.hear(time.monotonic(), places)
        return await self._without_gaps(standings)

    async def close(self) -> None:
        """End the clients."""
        if self._clients is not None:
            (admin, consumer), self._clients = self._clients, None
            await consumer.stop()
            await admin.close()

    async def _without_gaps(self, standings: dict[Key, Standing]) -> dict[Key, Standing]:
        """Where a group seems to stand still it is asked whether records wait, or only offsets without a record."""
        suspects = [key for key, one in standings.items() if one.still_seconds > SUSPICIOUS_SECONDS]
        if not suspects:
            return standings
        lags = await deployment_lags(self._settings, TIMEOUT_SECONDS)
        if isinstance(lags, str):
            raise KafkaError(lags)
        for group, topic in suspects:
            if lags[group][topic] == 0:
                place = replace(standings[group, topic].place, waiting=0, overdue=0)
                standings[group, topic] = replace(standings[group, topic], place=place, still_seconds=0.0)
        return standings

    async def _places(self, now: float) -> dict[Key, Place]:
        admin, consumer = await self._connected()
        committed = {group: await admin.list_consumer_group_offsets(group) for group in self._groups}
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        settled = await tail.firsts(consumer, self._ms(now, 0.0), ends)
        overdue = await tail.firsts(consumer, self._ms(now, self._settings.unanswered_seconds), ends)
        found: dict[Key, Place] = {}
        for group, names in self._groups.items():
            done = {
                tp: max(offset.offset, begins.get(tp, 0)) if (offset := committed[group].get(tp)) else begins[tp]
                for tp in self._partitions
            }
            for topic in names:
                of = [tp for tp in self._partitions if tp.topic == topic]
                found[group, topic] = Place(
                    committed=sum(done[tp] for tp in of),
                    waiting=sum(max(0, settled[tp] - done[tp]) for tp in of),
                    overdue=sum(max(0, overdue[tp] - done[tp]) for tp in of),
                    end=sum(ends[tp] for tp in of),
                )
        return found

    def _ms(self, now: float, seconds: float) -> int:
        """A moment of Unix time before which a record of this age was logged."""
        settled = COMMIT_SECONDS + max(self._settings.checkpoint_seconds, self._settings.archive_seconds)
        return round((now - max(settled, seconds)) * 1000)

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._clients is None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.bootstrap)
            consumer = AIOKafkaConsumer(bootstrap_servers=self._settings.bootstrap)
            self._clients = admin, consumer
            await admin.start()
            await consumer.start()
            names = sorted({topic for of in self._groups.values() for topic in of})
            self._partitions = await tail.partitions_of(self._settings, names)
        return self._clients
