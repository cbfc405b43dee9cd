"""The part of Faust's consumer that it runs in a thread of its own, here in the main loop."""

from collections.abc import Awaitable, Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from mode import Service
from mode.utils.futures import maybe_async

from app.kafka.connection import READ_COMMITTED
from app.settings import MiB

MIN_FETCH_BYTES = MiB
"""The broker collects so much before it answers a fetch, or waits for `MAX_FETCH_WAIT_MS`."""
MAX_FETCH_WAIT_MS = 200


class MainLoopConsumer(AIOKafkaConsumerThread):
    """What Faust runs in a thread, in the main loop: no call between threads, and no wait for the interpreter's lock.

    A main loop that hangs sends no heartbeats to the broker either, so its partitions go to another worker.
    """

    wait_for_shutdown = False
    maybe_start = Service.maybe_start
    start = Service.start
    stop = Service.stop
    set_shutdown = Service.set_shutdown
    _stopped_set = Service._stopped_set
    _stop_children = Service._stop_children
    _stop_futures = Service._stop_futures
    _stop_exit_stacks = Service._stop_exit_stacks

    def __init__(self, consumer: Consumer) -> None:
        super().__init__(consumer, loop=consumer.loop, thread_loop=consumer.loop, beacon=consumer.beacon)

    async def on_stop(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call a function that Faust would call in the thread."""
        return await maybe_async(fun(*args, **kwargs))

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it. aiokafka reads the attribute once, when the consumer starts.
        consumer._isolation_level = READ_COMMITTED
        return consumer


class LowPriorityMainLoopConsumer(MainLoopConsumer):
    """Consumer in the main loop with few, large fetches."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = MIN_FETCH_BYTES, MAX_FETCH_WAIT_MS
        return consumer
