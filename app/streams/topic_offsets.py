"""Offsets of a topic, not of its name: a topic may be deleted and created again.

Faust and aiokafka know a topic by its name only. An event of the old topic that is acknowledged late, or a commit that
aiokafka repeats until the topic exists again, would skip as many records of the new topic. So

1. every seek first reads the ids of the topics;
2. an acknowledgement of an event of another topic is ignored;
3. a committed offset has the topic's id as its metadata, and an offset of another topic is ignored: each partition of
   the new topic is read from its beginning;
4. if an id changes without a rebalance, the consumer joins its group again.

From version 10 of the OffsetCommit request on, brokers compare the ids themselves (KIP-848); aiokafka lacks it.
"""

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP, Message
from faust.types.transports import TPorTopicSet
from mode import Service

from app.backoff import retry
from app.events.cloudevents import TopicId
from app.kafka.topic_ids import read_topic_ids

METADATA_MAX_AGE_SECONDS = 10.0
"""A broker that has just started may not know all topics yet: a group that assigned without one assigns again."""
SEEK_SECONDS = 10.0
"""Below Faust's own limit (`broker_request_timeout`), beyond which it never resumes after a rebalance."""
COMMIT_SECONDS = 1.0
"""A rebalance waits so long for a commit: aiokafka repeats the commit for a deleted topic without end."""

log = logging.getLogger(__name__)


class TopicOffsetConsumer(Consumer):
    """Faust's consumer. It commits and reads offsets with the ids of their topics."""

    _topic_ids: Mapping[str, TopicId] = {}
    """Ids of the assigned topics, from each seek until the next rebalance."""
    _acked_topic_ids: Mapping[str, TopicId] = {}
    """Ids of the topics whose offsets are being committed."""

    @Service.timer(METADATA_MAX_AGE_SECONDS)
    async def _topic_id_monitor(self) -> None:
        await self._check_topic_ids()

    async def _check_topic_ids(self) -> None:
        """Join the group again if a topic was deleted and created again."""
        known = self._topic_ids
        try:
            current = await read_topic_ids(self._kafka._client, known)
        except (KafkaError, OSError) as error:
            log.warning("%s does not know whether topics were created again: %r", self.app.conf.id, error)
            return
        recreated = [topic for topic, topic_id in current.items() if topic_id != known[topic]]
        if recreated and known is self._topic_ids:
            self._topic_ids = {topic: known[topic] for topic in known if topic not in recreated}
            self._rejoin(f"created again: {', '.join(recreated)}")

    def _rejoin(self, reason: str) -> None:
        log.info("%s joins its group again: %s", self.app.conf.id, reason)
        self._kafka._coordinator.request_rejoin()

    @property
    def _kafka(self) -> Any:
        return self._thread._ensure_consumer()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Call Faust's own. From then until the next seek no topic is known, and nothing is acknowledged."""
        await super().on_partitions_revoked(revoked)
        self._topic_ids = {}

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the offset from which each partition is to be read: its beginning, if none is committed.

        aiokafka leaves such a partition where it is: what was fetched and dropped in a rebalance would be skipped.
        """
        try:
            async with asyncio.timeout(SEEK_SECONDS):
                return await retry(
                    self._seek_to_known_topics, (KafkaError, OSError), log, f"{self.app.conf.id} cannot seek"
                )
        except TimeoutError:
            log.warning("%s: no seek to the committed offsets within %g s", self.app.conf.id, SEEK_SECONDS)
            return {}

    async def _seek_to_known_topics(self) -> Mapping[TP, int]:
        kafka, rebalances, assigned = self._kafka, self.app.rebalancing_count, self._kafka.assignment()
        assigned_topics = {tp.topic for tp in assigned}
        topic_ids = await read_topic_ids(kafka._client, assigned_topics)
        commits = await kafka._coordinator.fetch_committed_offsets(assigned)
        if self.app.rebalancing_count != rebalances or kafka.assignment() != assigned:
            return {}  # a later seek follows
        if topic_ids.keys() != assigned_topics:
            kafka._client.force_metadata_update()  # aiokafka then joins the group again without the deleted topics
        offsets = {
            tp: commits[tp].offset if tp in commits and _is_of(topic_ids[tp.topic], commits[tp]) else 0
            for tp in assigned
            if tp.topic in topic_ids
        }
        self._acked.clear()
        self._acked_index.clear()
        self._topic_ids = topic_ids
        for tp, offset in offsets.items():
            if offset:
                kafka.seek(tp, offset)
        if unread := [tp for tp, offset in offsets.items() if not offset]:
            await kafka.seek_to_beginning(*unread)
        return offsets

    def ack(self, message: Message) -> bool:
        """Mark an event as acknowledged, unless its topic was deleted, or is not known in a rebalance."""
        event: Any = message
        return event.topic_id == self._topic_ids.get(event.topic) and super().ack(event)

    async def force_commit(self, topics: TPorTopicSet | None = None, start_new_transaction: bool = True) -> bool:
        """Commit what is acknowledged."""
        self._acked_topic_ids = self._topic_ids
        committed: bool = await super().force_commit(topics, start_new_transaction=start_new_transaction)
        return committed

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit offsets with the ids of their topics. Return whether that was done before a rebalance."""
        commits = {
            TopicPartition(*tp): OffsetAndMetadata(offset, self._acked_topic_ids[tp.topic])
            for tp, offset in offsets.items()
            if tp.topic in self._acked_topic_ids
        }
        if not commits:
            return False
        self._thread.tp_last_committed_at.update(dict.fromkeys(offsets, monotonic()))
        committing = asyncio.ensure_future(self._kafka.commit(commits))
        try:
            while not (await asyncio.wait([committing], timeout=COMMIT_SECONDS))[0]:
                if self.app.rebalancing:
                    return False
            await committing
        except (CommitFailedError, IllegalStateError) as error:
            log.info("%s: events will be redelivered: %s", self.app.conf.id, error)
            return False
        finally:
            committing.cancel()
        return True


def _is_of(topic_id: TopicId, commit: OffsetAndMetadata) -> bool:
    """Return whether an offset was committed for this topic, as far as its metadata tells.

    Earlier versions and other programs commit without an id, and an offset may be copied from another cluster.
    """
    cluster, _, _ = topic_id.rpartition("/")
    return commit.metadata == topic_id or not commit.metadata.startswith(f"{cluster}/")
