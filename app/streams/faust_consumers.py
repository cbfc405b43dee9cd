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

from collections.abc import AsyncIterator, Sequence

from aiokafka.structs import ConsumerRecord
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from app.events.cloudevents import TopicId
from app.streams.consumer_loops import LowPriorityMainLoopConsumer, MainLoopConsumer
from app.streams.topic_offsets import TopicOffsetConsumer


class RecordBatch(ConsumerMessage):
    """Records of one partition, in order, as one message of Faust's."""

    __slots__ = ("bytes", "records", "topic_id")

    def __init__(self, tp: TP, records: Sequence[ConsumerRecord], generation_id: int, topic_id: TopicId) -> None:
        last = records[-1]
        super().__init__(
            *tp, last.offset, last.timestamp / 1000, last.timestamp_type, None, None, None, None,
            tp=tp, generation_id=generation_id,
        )  # fmt: skip
        self.records = records
        self.topic_id = topic_id
        self.bytes = sum(len(record.value or b"") for record in records)


class BatchConsumer(TopicOffsetConsumer):
    """Faust's consumer, of batches of committed records."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return MainLoopConsumer(self)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, RecordBatch]]:  # noqa: ASYNC109  # Faust's
        """Yield the next records of each partition as one message, as long as no rebalance has begun."""
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not self.flow_active or not self._topic_ids:
            await self._seek_after_rebalance()
            return
        for partition, records in (fetched or {}).items():
            if self.should_stop or not self.flow_active or self.app.consumer_generation_id != generation:
                return
            tp = TP(*partition)
            if records and (active is None or tp in active or tp in self._buffered_partitions):
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                if records[0].offset < (self._read_offset[tp] or 0):
                    await self._start_again(tp)
                if (topic_id := self._topic_ids.get(tp.topic)) is None:
                    self._rejoin(f"the topic id of {tp.topic} is not known")
                    return
                yield tp, RecordBatch(tp, records, generation, topic_id)

    async def _seek_after_rebalance(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:
            self.log.warning("no seek to the committed offsets: %r", error)

    async def _start_again(self, tp: TP) -> None:
        """Forget the offsets of a partition that has fewer records than before, which Faust would skip."""
        self._read_offset[tp] = self._committed_offset[tp] = None
        await self._check_topic_ids()

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
        return LowPriorityMainLoopConsumer(self)
