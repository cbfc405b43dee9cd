"""Faust apps and agents with guarded delivery: raw records in, confirmed records out."""

from collections.abc import Callable, Sequence
from typing import Any

import faust
from faust.types import EventT

from app.events import topics
from app.events.cloudevents import ConsumedRecord, Record
from app.kafka import clients, connection
from app.kafka.producers import CONFIRM_SECONDS, MAX_BATCH_BYTES, publish_confirmed
from app.kafka.reader import to_consumed_record
from app.settings import MiB, Settings
from app.streams.batching import BatchLimits, ItemSize, batch_items
from app.streams.delivery import BatchHandler, BatchPublisher, DeliveryGuard, HandlerResult, RejectionBuilder
from app.streams.faust_consumers import BatchConsumer, LowPriorityConsumer
from app.streams.topic_offsets import METADATA_MAX_AGE_SECONDS

App = faust.App
LOW_PRIORITY_POLL_RECORDS = 500


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
        # A message is a batch of so many bytes and records of a partition. A larger record is fetched alone.
        "consumer_max_fetch_size": MiB,
        "broker_max_poll_records": LOW_PRIORITY_POLL_RECORDS if low_priority else settings.batch_size,
        # Four messages of each partition wait in memory. Then its topic is no longer fetched, and the last fetch fits.
        "stream_buffer_maxsize": 5 * settings.partitions,
        "consumer_metadata_max_age_ms": int(1000 * METADATA_MAX_AGE_SECONDS),
        "broker_commit_interval": 0.5,
        # The partitions of a killed worker are reassigned once its session has ended.
        "broker_session_timeout": 6.0,
        "broker_heartbeat_interval": 1.5,
        "broker_request_timeout": 20.0,
        # Unacknowledged events are redelivered: a rebalance need not wait for events that wait for a model.
        "stream_wait_empty": False,
        "producer_acks": -1,
        # A table is a cache: it has no standby copy, and its changelog may have been created again.
        "table_standby_replicas": 0,
        "recovery_consistency_check": False,
        "producer_linger": 0.0,
        "producer_max_batch_size": MAX_BATCH_BYTES,
        "producer_request_timeout": CONFIRM_SECONDS,
        "producer_max_request_size": topics.max_message_bytes(settings),
    }
    clients.install_record_parser(settings)
    app = faust.App(group, **(defaults | connection.faust_settings(settings) | overrides))
    # A class variable of Faust's transport, set for this app only.
    app.transport.Consumer = LowPriorityConsumer if low_priority else BatchConsumer  # type: ignore[misc]
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
    guard = DeliveryGuard(stage, handle, create_publisher(app), reject)

    async def run(stream: Any) -> None:
        async for events in batch_items(stream.noack().events(), limits, _size):
            batch = [record for event in events for record in _convert(event)]
            on_delivered(batch, await guard.deliver(batch))
            for event in events:
                await stream.ack(event)

    # One batch at a time: if acknowledgements arrive out of order, Faust commits past events that are in flight.
    app.agent(app.topic(topic, internal=False), name=name, concurrency=1)(run)


def _convert(event: EventT[Any]) -> list[ConsumedRecord]:
    batch: Any = event.message
    return [to_consumed_record(record, batch.topic_id) for record in batch.records]


def _size(event: EventT[Any]) -> ItemSize:
    batch: Any = event.message
    return ItemSize(len(batch.records), batch.bytes)


def create_publisher(app: App) -> BatchPublisher:
    """Return a publisher of confirmed records, with the app's own producer."""

    async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
        producer = await app.maybe_start_producer()
        # Faust's `send` takes single records only.
        return await publish_confirmed(producer._ensure_producer(), records)

    return publish
