"""Faust apps and agents with guarded delivery: raw records in, confirmed records out."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.types import EventT

from app.backoff import retry
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.kafka import clients, connection
from app.kafka.producers import CONFIRM_SECONDS, publish_confirmed
from app.kafka.topic_ids import TopicIdCache, fetch_topic_ids
from app.settings import Settings
from app.streams.batching import BatchLimits, batch_events, payload_bytes
from app.streams.delivery import BatchHandler, BatchPublisher, DeliveryGuard, HandlerResult, RejectionBuilder
from app.streams.faust_consumers import CommittedConsumer, LowPriorityConsumer

log = logging.getLogger(__name__)

App = faust.App
METADATA_MAX_AGE_MS = 10_000


def make_app(settings: Settings, group: str, *, low_priority: bool = False, **overrides: Any) -> App:
    """Return a Faust app; `overrides` are a process's own settings. With `low_priority` it makes few, large fetches.

    docs/pitfalls.md, section *Faust*, has the reasons of the settings.
    """
    defaults: dict[str, Any] = {
        "datadir": str(settings.home / group),
        "store": "memory://",
        "processing_guarantee": "at_least_once",
        "web_enabled": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": topics.max_message_bytes(settings),
        # A broker that has just started may not know all topics yet: a group that assigned without one assigns again.
        "consumer_metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "broker_commit_interval": 0.5,
        # The partitions of a killed worker are reassigned once its session has ended.
        "broker_session_timeout": 6.0,
        "broker_heartbeat_interval": 1.5,
        "broker_request_timeout": 20.0,
        # Unacknowledged events are redelivered: a rebalance need not wait for events that wait for a model.
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 8 * settings.batch_size,
        "producer_acks": -1,
        # A table is a cache: it has no standby copy, and its changelog may have been created again.
        "table_standby_replicas": 0,
        "recovery_consistency_check": False,
        "producer_linger": 0.002,
        "producer_request_timeout": CONFIRM_SECONDS,
        "producer_max_request_size": topics.max_message_bytes(settings),
    }
    clients.install_record_parser(settings)
    app = faust.App(group, **(defaults | connection.faust_settings(settings) | overrides))
    # A class variable of Faust's transport, set for this app only.
    app.transport.Consumer = LowPriorityConsumer if low_priority else CommittedConsumer  # type: ignore[misc]
    return app


def register_agent(
    app: App,
    settings: Settings,
    *,
    name: str,
    topic: str,
    stage: str,
    handle: BatchHandler,
    reject: RejectionBuilder,
    limits: BatchLimits,
    on_delivered: Callable[[Sequence[ConsumedRecord], Sequence[HandlerResult]], None] = lambda batch, results: None,
) -> None:
    """Register an agent that delivers the topic's events in batches. Call `on_delivered` after each delivery."""
    converter = RecordConverter(settings)
    guard = DeliveryGuard(stage, handle, create_publisher(app), reject)

    async def run(stream: Any) -> None:
        async for events in batch_events(stream.noack().events(), limits, payload_bytes):
            batch = [await converter.convert(event) for event in events]
            on_delivered(batch, await guard.deliver(batch))
            for event in events:
                await stream.ack(event)

    # One batch at a time: if acknowledgements arrive out of order, Faust commits past events that are in flight.
    app.agent(app.topic(topic, internal=False), name=name, concurrency=1)(run)


def create_publisher(app: App) -> BatchPublisher:
    """Return a publisher of confirmed records, with the app's own producer."""

    async def send(record: Record) -> Awaitable[Any]:
        producer = await app.maybe_start_producer()
        headers = list(record.headers)
        return await producer.send(record.topic, record.key, record.value, None, None, headers)  # type: ignore[no-any-return]

    async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
        return await publish_confirmed(send, records)

    return publish


class RecordConverter:
    """Converter of Faust's events to records with their origin, which includes the topic id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic_ids = TopicIdCache()

    async def convert(self, event: EventT[Any]) -> ConsumedRecord:
        """Return the record of an event. Its offset shows whether the topic may have been created again."""
        message = event.message
        position = (message.topic, message.partition, message.offset)
        topic_id = self._topic_ids.get(*position) or await self._fetch_topic_id(message.topic)
        self._topic_ids.put(*position, topic_id)
        origin = Origin(topic_id, *position, round(message.timestamp * 1000))
        headers: Any = message.headers or ()
        items = headers.items() if isinstance(headers, dict) else headers
        return ConsumedRecord(origin, message.key, message.value, tuple((name, value or b"") for name, value in items))

    async def _fetch_topic_id(self, topic: str) -> TopicId:
        topic_ids = await retry(
            lambda: fetch_topic_ids(self._settings, [topic]),
            (KafkaError, OSError),
            log,
            f"events of {topic} wait for the broker",
        )
        return topic_ids[topic]
