"""The answers of the platform, from the predictions of a task, and the requests that wait for theirs."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from app.client.errors import ClientError
from app.events import cloudevents, decoding, topics
from app.events.types import PredictionFailed, PredictionMade
from models.base import Rejected

logger = logging.getLogger(__name__)

Answer = PredictionMade | PredictionFailed

MAX_REMEMBERED_ANSWERS = 10_000
"""Bound of the memory that recognizes a repeated answer: its records are seconds apart, not ten thousand answers."""


class AnswerReader:
    """Reads the answers of tasks from the end that they had before this client's first request."""

    def __init__(self, kafka: Mapping[str, Any], producer: AIOKafkaProducer, namespace: str) -> None:
        self._kafka = kafka
        self._namespace = namespace
        self._producer = producer
        self._start_offsets: dict[str, dict[TopicPartition, int]] = {}
        self._start_offsets_lock = asyncio.Lock()

    async def fix_start(self, task: str) -> Mapping[TopicPartition, int]:
        """Return the end of the task's answers at the first call: answers to later requests come after it.

        Raises `ClientError` if there is no such task.
        """
        async with self._start_offsets_lock:
            if task not in self._start_offsets:
                self._start_offsets[task] = await self._end_offsets(task)
        return self._start_offsets[task]

    async def read(self, task: str) -> AsyncGenerator[Answer, None]:
        """Yield the answers as they are in the log: one may be there several times."""
        start_offsets = await self.fix_start(task)
        consumer = AIOKafkaConsumer(**self._kafka, isolation_level="read_committed")
        consumer.assign(list(start_offsets))
        try:
            await consumer.start()
            for partition, offset in start_offsets.items():
                consumer.seek(partition, offset)
            async for record in consumer:
                if (answer := _parse_answer(record)) is not None:
                    yield answer
        finally:
            await consumer.stop()

    async def read_distinct(self, task: str) -> AsyncGenerator[Answer, None]:
        """Yield every answer once, and a prediction also after the failure that it supersedes."""
        seen: OrderedDict[str, bool] = OrderedDict()
        async with aclosing(self.read(task)) as answers:
            async for answer in answers:
                is_prediction = isinstance(answer, PredictionMade)
                if answer.prediction_id not in seen or (is_prediction and not seen[answer.prediction_id]):
                    seen[answer.prediction_id] = is_prediction
                    if len(seen) > MAX_REMEMBERED_ANSWERS:
                        seen.popitem(last=False)
                    yield answer

    async def _end_offsets(self, task: str) -> dict[TopicPartition, int]:
        topic = topics.predictions(task, self._namespace)
        consumer = AIOKafkaConsumer(**self._kafka, isolation_level="read_committed")
        try:
            await consumer.start()
            if topic not in await consumer.topics():
                raise ClientError(
                    f"There is no task {task!r} here, as there is no topic {topic!r}. Check its name, and that the "
                    "platform runs."
                )
            partitions = await self._producer.partitions_for(topic)
            return dict(await consumer.end_offsets([TopicPartition(topic, number) for number in partitions]))
        finally:
            await consumer.stop()


class PendingAnswers:
    """The requests of this client that wait for their answers, each task's read by one reader."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._futures: OrderedDict[str, asyncio.Future[Answer]] = OrderedDict()
        self._deliveries: dict[str, asyncio.Task[None]] = {}

    def expect(self, prediction_id: str) -> asyncio.Future[Answer]:
        """Return the future of an answer. It is kept when done, so that a repeated request has the same answer."""
        future = self._futures.setdefault(prediction_id, asyncio.get_running_loop().create_future())
        if len(self._futures) > MAX_REMEMBERED_ANSWERS:
            self._futures.popitem(last=False)
        return future

    async def wait(self, task: str, expected: asyncio.Future[Answer]) -> Answer:
        """Return the expected answer once it is there. Raises `ClientError` if the task's answers can't be read."""
        if expected.done():
            return expected.result()
        delivery = self._deliveries.get(task)
        if delivery is None or delivery.done():
            delivery = self._deliveries[task] = asyncio.create_task(self._deliver(task))
        await asyncio.wait((expected, delivery), return_when=asyncio.FIRST_COMPLETED)
        if not expected.done():
            raise ClientError(f"the answers of {task} can't be read: {delivery.exception()}")
        return expected.result()

    async def close(self) -> None:
        """Stop reading."""
        for delivery in self._deliveries.values():
            delivery.cancel()
        await asyncio.gather(*self._deliveries.values(), return_exceptions=True)

    async def _deliver(self, task: str) -> None:
        async for answer in self._reader.read(task):
            future = self._futures.get(answer.prediction_id)
            if future is not None and not future.done():
                future.set_result(answer)


def _parse_answer(record: ConsumerRecord) -> Answer | None:
    """Return the answer in a record of `<task>.predictions`; None if this version can't read one."""
    event_type = cloudevents.header_text(record.headers, "ce_type") or ""
    if not event_type.startswith("hindsight."):  # an application's own event
        return None
    try:
        data = decoding.decode(event_type, record.value or b"")
    except Rejected as error:
        logger.warning("unreadable answer at %s/%d/%d: %s", record.topic, record.partition, record.offset, error)
        return None
    return data if isinstance(data, Answer) else None
