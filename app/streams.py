"""The binding of the delivery guard to Faust: the app's settings, raw records in, confirmed records out."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Sequence
from typing import Any, TypeVar

import faust
from aiokafka.errors import KafkaError
from faust.types import EventT

from app import topics
from app.delivery import Guard, Handle, Incoming, Reject, backoff
from app.events import LogEpoch, Origin, Record
from app.logepoch import KnownEpochs, log_epochs
from app.publishing import CONFIRM_SECONDS, publish_confirmed
from app.settings import Settings

log = logging.getLogger(__name__)

App = faust.App
T = TypeVar("T")
GROUP = "hindsight-worker"


def make_app(settings: Settings) -> App:
    """The Faust app. Why each setting: `CONTRIBUTING.md`, *What bites in Faust*."""
    return faust.App(
        GROUP,
        broker=f"aiokafka://{settings.bootstrap.replace(',', ';aiokafka://')}",
        datadir=str(settings.home / "worker"),
        store="memory://",
        processing_guarantee="at_least_once",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=topics.max_message_bytes(settings),
        broker_commit_interval=0.5,
        # A killed worker's partitions are served again once its session has ended.
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_request_timeout=20.0,
        # What is unacked is redelivered: a rebalance needn't wait for events that themselves wait for a model.
        stream_wait_empty=False,
        stream_buffer_maxsize=8 * settings.batch_size,
        producer_acks=-1,
        producer_linger=0.002,
        producer_request_timeout=CONFIRM_SECONDS,
        producer_max_request_size=topics.max_message_bytes(settings),
    )


def agent(
    app: App,
    settings: Settings,
    *,
    name: str,
    topic: str,
    stage: str,
    handle: Handle,
    reject: Reject,
) -> None:
    """Register an agent that delivers the topic's events in micro-batches: at most so many, waiting at most so long."""
    epochs = Epochs(settings.bootstrap)

    async def send(record: Record) -> Awaitable[Any]:
        producer = await app.maybe_start_producer()
        headers = list(record.headers)
        return await producer.send(record.topic, record.key, record.value, None, None, headers)  # type: ignore[no-any-return]

    async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
        return await publish_confirmed(send, records)

    guard = Guard(stage, handle, publish, reject)

    async def run(stream: Any) -> None:
        async for events in batches(stream.noack().events(), settings.batch_size, settings.batch_seconds):
            await guard.deliver([await epochs.incoming(event) for event in events])
            for event in events:
                await stream.ack(event)

    # One at a time, in order: Faust commits past events that are still in flight when acks come out of order.
    app.agent(app.topic(topic, internal=False), name=name, concurrency=1)(run)


async def batches(events: AsyncIterable[T], most: int, seconds: float) -> AsyncGenerator[list[T], None]:
    """Micro-batches: at most so many events, the first of which waited at most so long for the others.

    Faust's own `noack_take` wakes up at every interval and starts a new one after each batch; this one waits for the
    first event, and takes what has come while the batch before was handled at once.
    """
    waiting: asyncio.Queue[T] = asyncio.Queue(most)

    async def feed() -> None:
        async for event in events:
            await waiting.put(event)

    feeding = asyncio.create_task(feed())
    try:
        while True:
            getting = asyncio.create_task(waiting.get())
            await asyncio.wait((feeding, getting), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                feeding.result()
                return
            if waiting.qsize() < most - 1:
                await asyncio.sleep(seconds)
            yield [getting.result(), *(waiting.get_nowait() for _ in range(min(waiting.qsize(), most - 1)))]
    finally:
        feeding.cancel()


class Epochs:
    """The log epochs of the topics that this worker reads."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._known = KnownEpochs()

    async def incoming(self, event: EventT[Any]) -> Incoming:
        """The record behind a Faust event; where it stands tells whether its topic was made anew."""
        message = event.message
        place = (message.topic, message.partition, message.offset)
        epoch = self._known.of(*place) or await self._ask(message.topic)
        self._known.learn(*place, epoch)
        origin = Origin(epoch, *place, round(message.timestamp * 1000))
        headers: Any = message.headers or ()
        items = headers.items() if isinstance(headers, dict) else headers
        return Incoming(origin, message.key, message.value, tuple((name, value or b"") for name, value in items))

    async def _ask(self, topic: str) -> LogEpoch:
        waits = backoff()
        while True:
            try:
                return (await log_epochs(self._bootstrap, [topic]))[topic]
            except (KafkaError, OSError) as error:
                wait = next(waits)
                log.warning("events of %s wait %.1f s for the broker: %s", topic, wait, error)
                await asyncio.sleep(wait)
