"""Reads the outcomes of the log into the memories of corrections of a process, outside any consumer group."""

import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.backoff import retry
from app.events import topics
from app.events.cloudevents import TopicId, header_text, split_version
from app.events.lifecycle import DataErased
from app.inference.memory import CorrectionMemory
from app.kafka import clients, reader
from app.kafka.topic_ids import fetch_topic_ids
from app.settings import Settings

log = logging.getLogger(__name__)

_MAX_WAIT_MS = 1000
"""The broker answers a fetch at once if there is a record, and after this time if there is none."""
_MAX_RECORDS = 500
"""Records that are read before the agents' turn."""
_ERASED = f"{split_version(DataErased.type)[0]}."


class MemoryReader:
    """Keeps the memories, by task, as the log is: complete from its end on, and read again after an erasure."""

    def __init__(self, settings: Settings, memories: Mapping[str, CorrectionMemory]) -> None:
        self._settings = settings
        self._memories = {topics.outcomes(task): memory for task, memory in memories.items()}
        self._topic_ids: Mapping[str, TopicId] = {}

    async def run(self) -> None:
        """Read, for ever. Waits for a broker that is unavailable."""
        while True:
            consumer, ends = await retry(
                self._start, (KafkaError, OSError), log, "the memory of corrections waits for the broker"
            )
            try:
                await self._read_until_erasure(consumer, ends)
            finally:
                await consumer.stop()

    async def _read_until_erasure(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        behind, erased = ends, False
        while not erased:
            for topic, memory in self._memories.items():
                memory.is_complete = all(tp.topic != topic for tp in behind)
            for tp, records in (await consumer.getmany(timeout_ms=_MAX_WAIT_MS, max_records=_MAX_RECORDS)).items():
                for record in records:
                    if tp.topic in self._memories:
                        self._memories[tp.topic].apply(reader.to_consumed_record(record, self._topic_ids[tp.topic]))
                    else:
                        erased |= (header_text(record.headers, "ce_type") or "").startswith(_ERASED)
            behind = {tp: end for tp, end in behind.items() if await consumer.position(tp) < end}

    async def _start(self) -> tuple[AIOKafkaConsumer, Mapping[TopicPartition, int]]:
        """Empty the memories; return a consumer at the oldest outcomes that count, and the ends of the log."""
        for memory in self._memories.values():
            memory.clear()
        self._topic_ids = await fetch_topic_ids(self._settings, list(self._memories))
        # Retention and erasure delete the beginning of a partition, perhaps while it is read.
        consumer = clients.create_consumer(
            self._settings,
            *(*self._memories, topics.LIFECYCLE),
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_MAX_WAIT_MS,
        )
        try:
            await consumer.start()
            all_ends = await consumer.end_offsets(consumer.assignment())
            starts = {tp: end for tp, end in all_ends.items() if tp.topic not in self._memories}
            for topic, memory in self._memories.items():
                ends = {tp: end for tp, end in all_ends.items() if tp.topic == topic}
                oldest_ms = round(memory.oldest.timestamp() * 1000)
                starts |= await reader.fetch_first_offsets(consumer, oldest_ms, ends)
            for tp, offset in starts.items():
                consumer.seek(tp, offset)
        except BaseException:
            await consumer.stop()
            raise
        return consumer, {tp: all_ends[tp] for tp, start in starts.items() if start < all_ends[tp]}
