"""Reads the outcomes of the log into the memories of corrections of a process, outside any consumer group."""

import logging
from collections.abc import Mapping, Sequence

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

    async def run(self) -> None:
        """Read, for ever. Waits for a broker that is unavailable."""
        names = [*self._memories, topics.LIFECYCLE]
        consumer, topic_ids = await retry(
            lambda: self._start(names), (KafkaError, OSError), log, "the memory of corrections waits for the broker"
        )
        try:
            behind = await self._seek(consumer)
            while True:
                batches = await consumer.getmany(timeout_ms=_MAX_WAIT_MS, max_records=_MAX_RECORDS)
                erased = False
                for tp, records in batches.items():
                    if memory := self._memories.get(tp.topic):
                        for record in records:
                            memory.apply(reader.to_consumed_record(record, topic_ids[tp.topic]))
                    else:
                        erased |= any(_is_erasure(record.headers) for record in records)
                if erased:
                    behind = await self._seek(consumer)
                behind = {tp: end for tp, end in behind.items() if await consumer.position(tp) < end}
                for topic, memory in self._memories.items():
                    memory.is_complete = all(tp.topic != topic for tp in behind)
        finally:
            await consumer.stop()

    async def _start(self, names: Sequence[str]) -> tuple[AIOKafkaConsumer, Mapping[str, TopicId]]:
        partitions = await reader.fetch_partitions(self._settings, list(names))
        topic_ids = await fetch_topic_ids(self._settings, list(names))
        # Retention and erasure delete the beginning of a partition, perhaps while it is read.
        consumer = clients.create_consumer(self._settings, auto_offset_reset="earliest", fetch_max_wait_ms=_MAX_WAIT_MS)
        await consumer.start()
        consumer.assign(partitions)
        return consumer, topic_ids

    async def _seek(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, int]:
        """Empty the memories, and read from the oldest outcomes that count; return the ends of the log."""
        ends = await consumer.end_offsets(consumer.assignment())
        outcomes = {tp: end for tp, end in ends.items() if tp.topic in self._memories}
        for topic, memory in self._memories.items():
            memory.clear()
            of_topic = {tp: end for tp, end in outcomes.items() if tp.topic == topic}
            milliseconds = round(memory.oldest.timestamp() * 1000)
            for tp, offset in (await reader.fetch_first_offsets(consumer, milliseconds, of_topic)).items():
                consumer.seek(tp, offset)
        for tp in ends.keys() - outcomes.keys():
            consumer.seek(tp, ends[tp])
        return outcomes


def _is_erasure(headers: Sequence[tuple[str, bytes]]) -> bool:
    return (header_text(headers, "ce_type") or "").startswith(_ERASED)
