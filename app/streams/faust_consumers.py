"""Faust's consumers: record batches, committed records only, and few, large fetches for background workers.

Faust hands over one record at a time: it starts two tasks for each (`wait_first`), takes a lock, decodes, counts and
acknowledges it. All of that but the work of the agent itself is the same for all records of a partition in a fetch, so
here they are one message. It has the offset of its last record, and its acknowledgement acknowledges them all. This
could be Faust's own: nothing in `getmany`, in acknowledgements and in commits needs single records, and the cost of
each (upstream issue 563) would be that of a batch. Whoever wants single records would unpack them in the stream.

Faust also reads the records of aborted transactions, unless it writes in transactions itself. And its broker answers a
fetch as soon as there is one record. With many partitions each response costs more than its record: at 50 requests/s
the archive and the recorder used a third of a core each.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka.structs import ConsumerRecord
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode import Service
from mode.utils.futures import maybe_async

from app.kafka.connection import READ_COMMITTED
from app.settings import MiB

MIN_FETCH_BYTES = MiB
"""The broker collects so much before it answers a fetch, or waits for `MAX_FETCH_WAIT_MS`."""
MAX_FETCH_WAIT_MS = 200


class RecordBatch(ConsumerMessage):
    """Records of one partition, in order, as one message of Faust's."""

    __slots__ = ("bytes", "records")

    def __init__(self, tp: TP, records: Sequence[ConsumerRecord], generation_id: int) -> None:
        last = records[-1]
        super().__init__(
            *tp, last.offset, last.timestamp / 1000, last.timestamp_type, None, None, None, None,
            tp=tp, generation_id=generation_id,
        )  # fmt: skip
        self.records = records
        self.bytes = sum(len(record.value or b"") for record in records)


class BatchConsumer(Consumer):
    """Faust's consumer, of batches of committed records."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _MainLoopConsumer(self)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, RecordBatch]]:  # noqa: ASYNC109  # Faust's
        """Yield the next records of each partition as one message, as long as no rebalance has begun."""
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not self.flow_active:
            await self._seek_after_rebalance()
            return
        for partition, records in (fetched or {}).items():
            if self.should_stop or not self.flow_active or self.app.consumer_generation_id != generation:
                return
            tp = TP(*partition)
            if records and (active is None or tp in active or tp in self._buffered_partitions):
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, RecordBatch(tp, records, generation)

    async def _seek_after_rebalance(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:
            self.log.warning("no seek to the committed offsets: %r", error)

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: the one after the last acknowledged batch.

        An agent acknowledges in order, so all before it is acknowledged, too: offsets without a record (control
        records) need no bookkeeping.
        """
        acked = self._acked[tp]
        offset = max(acked) + 1 if acked else None
        acked.clear()
        self._acked_index[tp].clear()
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: between the last records of two batches there are many offsets."""


class LowPriorityConsumer(BatchConsumer):
    """Consumer for background workers: few, large fetches."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _LowPriorityConsumer(self)


class _MainLoopConsumer(AIOKafkaConsumerThread):
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

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the offset from which each partition is to be read: its beginning, if none is committed.

        aiokafka leaves such a partition where it is: what was fetched and dropped in a rebalance would be skipped.
        """
        committed: Mapping[TP, int] = await super().seek_to_committed()
        consumer = self._ensure_consumer()
        unread = [tp for tp, offset in committed.items() if not offset and tp in consumer.assignment()]
        if unread:
            await consumer.seek_to_beginning(*unread)
        return committed

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it. aiokafka reads the attribute once, when the consumer starts.
        consumer._isolation_level = READ_COMMITTED
        return consumer


class _LowPriorityConsumer(_MainLoopConsumer):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = MIN_FETCH_BYTES, MAX_FETCH_WAIT_MS
        return consumer
