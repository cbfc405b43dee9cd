"""The binding of the delivery guard to Faust: the app's settings, raw records in, confirmed records out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.types import EventT

from app.backoff import backoff
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.kafka import clients, connection
from app.kafka.producers import CONFIRM_SECONDS, publish_confirmed
from app.kafka.topic_ids import TopicIdCache, fetch_topic_ids
from app.settings import Settings
from app.streams.batching import BatchLimits, _payload_bytes, batch_events
from app.streams.delivery import BatchHandler, BatchPublisher, DeliveryGuard, HandlerResult, RejectionBuilder
from app.streams.faust_consumers import CommittedConsumer, LowPriorityConsumer

log = logging.getLogger(__name__)

App = faust.App


def make_app(settings: Settings, group: str, *, low_priority: bool = False, **overrides: Any) -> App:
    """The Faust app, with settings of a process' own; a `patient` one fetches seldom.

    Why each setting: `CONTRIBUTING.md`, *What bites in Faust*.
    """
    common: dict[str, Any] = {
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
        "broker_commit_interval": 0.5,
        # A killed worker's partitions are served again once its session has ended.
        "broker_session_timeout": 6.0,
        "broker_heartbeat_interval": 1.5,
        "broker_request_timeout": 20.0,
        # What is unacked is redelivered: a rebalance needn't wait for events that themselves wait for a model.
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 8 * settings.batch_size,
        "producer_acks": -1,
        # A table is a cache: no second worker keeps a copy of it, and its changelog may have been made anew.
        "table_standby_replicas": 0,
        "recovery_consistency_check": False,
        "producer_linger": 0.002,
        "producer_request_timeout": CONFIRM_SECONDS,
        "producer_max_request_size": topics.max_message_bytes(settings),
    }
    clients.install_record_parser(settings)
    app = faust.App(group, **(common | connection.faust_settings(settings) | overrides))
    # A class variable there; here of this app alone.
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
    on_delivered: Callable[[Sequence[ConsumedRecord], Sequence[HandlerResult]], None] = lambda batch, answers: None,
) -> None:
    """Register an agent that delivers the topic's events in batches; `delivered` gets each batch with its answers."""
    epochs = RecordConverter(settings)
    guard = DeliveryGuard(stage, handle, create_publisher(app), reject)

    async def run(stream: Any) -> None:
        async for events in batch_events(stream.noack().events(), limits, _payload_bytes):
            batch = [await epochs.convert(event) for event in events]
            on_delivered(batch, await guard.deliver(batch))
            for event in events:
                await stream.ack(event)

    # One at a time, in order: Faust commits past events that are still in flight when acks come out of order.
    app.agent(app.topic(topic, internal=False), name=name, concurrency=1)(run)


def create_publisher(app: App) -> BatchPublisher:
    """Publishes by the app's own producer, confirmed."""

    async def send(record: Record) -> Awaitable[Any]:
        producer = await app.maybe_start_producer()
        headers = list(record.headers)
        return await producer.send(record.topic, record.key, record.value, None, None, headers)  # type: ignore[no-any-return]

    async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
        return await publish_confirmed(send, records)

    return publish


class RecordConverter:
    """The log epochs of the topics that this worker reads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic_ids = TopicIdCache()

    async def convert(self, event: EventT[Any]) -> ConsumedRecord:
        """The record behind a Faust event; where it stands tells whether its topic was made anew."""
        message = event.message
        place = (message.topic, message.partition, message.offset)
        epoch = self._topic_ids.get(*place) or await self._fetch_topic_id(message.topic)
        self._topic_ids.put(*place, epoch)
        origin = Origin(epoch, *place, round(message.timestamp * 1000))
        headers: Any = message.headers or ()
        items = headers.items() if isinstance(headers, dict) else headers
        return ConsumedRecord(origin, message.key, message.value, tuple((name, value or b"") for name, value in items))

    async def _fetch_topic_id(self, topic: str) -> TopicId:
        waits = backoff()
        while True:
            try:
                return (await fetch_topic_ids(self._settings, [topic]))[topic]
            except (KafkaError, OSError) as error:
                wait = next(waits)
                log.warning("events of %s wait %.1f s for the broker: %s", topic, wait, error)
                await asyncio.sleep(wait)
