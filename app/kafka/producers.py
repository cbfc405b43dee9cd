"""Confirmed publishing: each record is in the log, or the error is known.

The records for one partition travel as one batch, with one confirmation, and do not wait for others to come.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from app.errors import Unpublishable
from app.events.cloudevents import Record
from app.events.topics import max_message_bytes
from app.kafka import clients
from app.settings import Settings

_PERMANENT_ERRORS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)
CONFIRM_SECONDS = 30.0
"""A record that is not confirmed in time is published again: ids de-duplicate."""
MAX_BATCH_BYTES = 256 * 1024
"""Limit of a batch, below that of every topic. A larger record travels alone."""
_choose_partition = DefaultPartitioner()


async def publish_confirmed(
    producer: AIOKafkaProducer, records: Sequence[Record], partitions: Sequence[int | None] = ()
) -> list[Exception | None]:
    """Send all records, then wait for their confirmations. Return None, or the error, for each record.

    Each of `partitions` is the partition for its record, if the topic has it. Without them the key decides, as in every
    client of Kafka; the records of one call without a key share a random partition. Order is kept in each partition.
    """
    publication = _Publication(producer, records)
    await publication.send(partitions)
    await publication.confirm()
    await publication.send_refused_alone()
    return publication.errors


class _Publication:
    """The records of one call, their unconfirmed batches, and the errors so far."""

    def __init__(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
        self._producer = producer
        self._records = records
        self._unconfirmed: dict[asyncio.Future[Any], tuple[TopicPartition, Sequence[int]]] = {}
        self._refused: list[tuple[TopicPartition, int]] = []
        self.errors: list[Exception | None] = [None] * len(records)

    async def send(self, partitions: Sequence[int | None]) -> None:
        """Send all records, the batches of a partition one after the other."""
        for partition, indices in (await self._group(partitions)).items():
            if len(indices) == 1:
                await self._send_alone(partition, indices[0])
                continue
            batch, batch_indices = self._producer.create_batch(), list[int]()
            for index in indices:
                if not self._append(batch, index):
                    await self._send_batch(partition, batch, batch_indices)
                    batch, batch_indices = self._producer.create_batch(), []
                    self._append(batch, index)  # an empty batch takes a record of any size
                batch_indices.append(index)
            await self._send_batch(partition, batch, batch_indices)

    async def confirm(self) -> None:
        """Wait for the confirmations. A record without one in time has failed."""
        if self._unconfirmed:
            await asyncio.wait(self._unconfirmed, timeout=CONFIRM_SECONDS)
        for confirmation, (partition, indices) in self._unconfirmed.items():
            if confirmation.cancel() or confirmation.cancelled():
                self._fail(indices, TimeoutError(f"no confirmation within {CONFIRM_SECONDS:g} s"))
            elif (error := confirmation.exception()) is not None:
                assert isinstance(error, Exception)
                if len(indices) > 1 and isinstance(error, _PERMANENT_ERRORS):
                    self._refused += [(partition, index) for index in indices]
                else:
                    self._fail(indices, error)
        self._unconfirmed.clear()

    async def send_refused_alone(self) -> None:
        """Send the records of refused batches one by one: only those that are too large themselves have failed."""
        for partition, index in self._refused:
            await self._send_alone(partition, index)
        await self.confirm()

    async def _group(self, partitions: Sequence[int | None]) -> dict[TopicPartition, list[int]]:
        """Return the indices of the records for each partition."""
        indices_by_topic: dict[str, list[int]] = defaultdict(list)
        for index, record in enumerate(self._records):
            indices_by_topic[record.topic].append(index)
        groups: dict[TopicPartition, list[int]] = defaultdict(list)
        for topic, indices in indices_by_topic.items():
            try:
                available = sorted(await self._producer.partitions_for(topic))
            except Exception as error:  # must not affect the records for other topics
                self._fail(indices, error)
                continue
            keyless = _choose_partition(None, available, available)
            for index in indices:
                key = self._records[index].key
                partition = keyless if key is None else _choose_partition(key, available, available)
                if partitions and partitions[index] in available:
                    partition = partitions[index]
                groups[TopicPartition(topic, partition)].append(index)
        return groups

    def _append(self, batch: Any, index: int) -> bool:
        """Append a record to a batch. Return False if the batch is full."""
        record = self._records[index]
        headers = list(record.headers)
        return batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is not None

    async def _send_batch(self, partition: TopicPartition, batch: Any, indices: Sequence[int]) -> None:
        if len(indices) == 1:
            await self._send_alone(partition, indices[0])
            return
        batch.close()
        send = self._producer.send_batch(batch, partition.topic, partition=partition.partition)
        await self._register(send, partition, indices)

    async def _send_alone(self, partition: TopicPartition, index: int) -> None:
        """Send one record, which the producer itself refuses if it is too large."""
        record, headers = self._records[index], list(self._records[index].headers)
        send = self._producer.send(record.topic, record.value, record.key, partition.partition, headers=headers)
        await self._register(send, partition, [index])

    async def _register(
        self, send: Awaitable[asyncio.Future[Any]], partition: TopicPartition, indices: Sequence[int]
    ) -> None:
        try:
            self._unconfirmed[await send] = (partition, indices)
        except Exception as error:  # must not affect the other records
            self._fail(indices, error)

    def _fail(self, indices: Sequence[int], error: Exception) -> None:
        if isinstance(error, _PERMANENT_ERRORS):
            error = Unpublishable(f"{type(error).__name__}: {error}")
        for index in indices:
            self.errors[index] = error


@asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer for a command."""
    options = {"max_batch_size": MAX_BATCH_BYTES, "max_request_size": max_message_bytes(settings)}
    producer = clients.create_producer(settings, **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def publish_all(settings: Settings, records: Sequence[Record]) -> None:
    """Publish records and wait for their confirmations. Raises the first error."""
    async with open_producer(settings) as producer:
        for error in await publish_confirmed(producer, records):
            if error is not None:
                raise error
