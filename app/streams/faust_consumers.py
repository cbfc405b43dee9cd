"""Faust's consumers: of what is committed, and for those whom nobody waits for one that fetches seldom, and then much.

Faust reads what transactions abort unless it writes in transactions itself; and it has the broker answer a fetch as
soon as there is one record. With many partitions each answer costs more than the record in it: at 50 requests/s that
took the archive and the recorder a third of a core each.
"""

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from app.kafka.connection import READ_COMMITTED
from app.settings import MiB

MIN_FETCH_BYTES = MiB
"""The broker collects so much before it answers a fetch ..."""
MAX_FETCH_WAIT_MS = 200
"""... or for so long."""


class _CommittedThread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes none of these on: aiokafka reads them once, when the consumer starts.
        consumer._isolation_level = READ_COMMITTED
        return consumer


class _LowPriorityThread(_CommittedThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = MIN_FETCH_BYTES, MAX_FETCH_WAIT_MS
        return consumer


class CommittedConsumer(Consumer):
    """Faust's consumer, of what is committed."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class LowPriorityConsumer(Consumer):
    """The same, with fetches that wait."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _LowPriorityThread(self, loop=self.loop, beacon=self.beacon)
