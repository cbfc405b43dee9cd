"""A fake of preprocessing and inference: it answers the requests of the task `letters` by a given function."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from app.events import cloudevents, ids, topics
from app.events.base import ModelRef
from app.events.types import Failure, PredictionFailed, PredictionMade
from app.kafka import clients
from app.settings import Settings

TASK = "letters"


@asynccontextmanager
async def run_fake_inference(settings: Settings, output: Callable[[bytes], dict[str, Any]]) -> AsyncIterator[None]:
    """Answer each request with `output` of its payload while the block lasts; its ValueError is a failure."""
    consumer = clients.create_consumer(settings, topics.requests(TASK), auto_offset_reset="latest")
    producer = clients.create_producer(settings)

    async def answer() -> None:
        async for record in consumer:
            source = cloudevents.header_text(record.headers, "ce_source")
            request_id = cloudevents.header_text(record.headers, "ce_id")
            assert source is not None and request_id is not None
            prediction_id = ids.prediction_id(TASK, source, request_id)
            data: PredictionMade | PredictionFailed
            try:
                data = make_prediction(prediction_id, request_id, output(record.value))
            except ValueError as error:
                data = make_failure(prediction_id, request_id, str(error))
            await publish(producer, data)

    await consumer.start()
    await producer.start()
    await consumer.seek_to_end()
    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()
        await producer.stop()


async def publish(producer: AIOKafkaProducer, data: PredictionMade | PredictionFailed) -> None:
    record = data.to_record(
        topics.predictions(TASK),
        data.request_id.encode(),
        id=data.prediction_id,
        source="test",
        time="2026-01-31T12:00:00Z",
    )
    await producer.send_and_wait(record.topic, record.value, record.key, headers=list(record.headers))


def make_prediction(prediction_id: str, request_id: str, output: dict[str, Any]) -> PredictionMade:
    return PredictionMade(
        prediction_id=prediction_id,
        request_id=request_id,
        task=TASK,
        model=ModelRef(name=TASK, version="1"),
        role="champion",
        output=output,
        confidence=0.75,
        propensity=1.0,
        timings_ms={"queued": 1, "preprocess": 1, "inference": 1, "total": 3},
    )


def make_failure(prediction_id: str, request_id: str, reason: str) -> PredictionFailed:
    return PredictionFailed(
        prediction_id=prediction_id,
        request_id=request_id,
        task=TASK,
        error=Failure(stage="preprocess", code="bad", reason=reason),
        dead_letter="00000000-0000-0000-0000-000000000000",
    )
