"""Topic ids: they tell a topic from an earlier topic of the same name, so that an offset is unambiguous.

aiokafka 0.14 implements Kafka's Metadata request up to version 5. Topic ids need version 10 (KIP-516), which is
declared here with aiokafka's own classes.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from app.events.cloudevents import TopicId
from app.kafka import clients
from app.kafka.admin_requests import send
from app.settings import Settings


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: Any) -> bytes:
        return bytes(data.read(16))


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        topics: list[tuple[bytes, str, dict[int, bytes]]] = [(bytes(16), topic, {}) for topic in self._topics]
        return request_struct_class(topics, False, False, False, {})


class TopicIdCache:
    """Topic ids that a reader has fetched, as long as its offsets increase."""

    def __init__(self) -> None:
        self._topic_ids: dict[str, TopicId] = {}
        self._last_offsets: dict[tuple[str, int], int] = {}

    def get(self, topic: str, partition: int, offset: int) -> TopicId | None:
        """Return the topic id of a record, or None if it must be fetched.

        If offsets do not increase, the topic may have been deleted and created again.
        """
        last = self._last_offsets.get((topic, partition))
        return None if last is not None and offset <= last else self._topic_ids.get(topic)

    def put(self, topic: str, partition: int, offset: int, topic_id: TopicId) -> None:
        """Store the topic id of a record."""
        self._topic_ids[topic] = topic_id
        self._last_offsets[topic, partition] = offset


async def fetch_topic_ids(settings: Settings, topics: Iterable[str]) -> dict[str, TopicId]:
    """Return the id of each topic: `<cluster id>/<topic UUID>`.

    Raises UnknownTopicOrPartitionError for a topic that does not exist, KafkaConnectionError without a broker.
    """
    names = sorted(set(topics))
    async with clients.open_admin(settings) as admin:
        topic_ids = await read_topic_ids(admin._client, names)
    if missing := [name for name in names if name not in topic_ids]:
        raise UnknownTopicOrPartitionError(f"topic {', '.join(map(repr, missing))}")
    return topic_ids


async def read_topic_ids(client: AIOKafkaClient, topics: Iterable[str]) -> dict[str, TopicId]:
    """Return the id of each of those topics that exist, by a client that is connected. Raises KafkaError."""
    # The request for no topic would be one for all.
    names = sorted(set(topics))
    if not names:
        return {}
    response = await send(client, _Metadata(names))
    return {
        name: TopicId(f"{response.cluster_id}/{uuid.UUID(bytes=topic_uuid)}")
        for error, name, topic_uuid, *_ in response.topics
        if not error
    }
