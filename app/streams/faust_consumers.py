"""Faust's consumers with committed records only, and for background workers with few, large fetches.

Faust reads the records of aborted transactions, unless it writes in transactions itself. And its broker answers a fetch
as soon as there is one record. With many partitions each response costs more than its record: at 50 requests/s the
archive and the recorder used a third of a core each.
"""

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from app.kafka.connection import READ_COMMITTED
from app.settings import MiB

MIN_FETCH_BYTES = MiB
"""The broker collects so much before it answers a fetch, or waits for `MAX_FETCH_WAIT_MS`."""
MAX_FETCH_WAIT_MS = 200


class _CommittedThread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it. aiokafka reads the attribute once, when the consumer starts.
        consumer._isolation_level = READ_COMMITTED
        return consumer


class _LowPriorityThread(_CommittedThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = MIN_FETCH_BYTES, MAX_FETCH_WAIT_MS
        return consumer


class CommittedConsumer(Consumer):
    """Faust's consumer, of committed records only."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class LowPriorityConsumer(Consumer):
    """Consumer for background workers: few, large fetches of committed records."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _LowPriorityThread(self, loop=self.loop, beacon=self.beacon)
