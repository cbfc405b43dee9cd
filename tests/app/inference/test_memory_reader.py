"""The reader of the memories, on a real broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from app.events import topics
from app.events.base import ModelRef
from app.events.ids import prediction_id
from app.events.lifecycle import DataErased
from app.events.types import OutcomeRecorded
from app.inference.memory import CorrectionMemory
from app.inference.memory_reader import MemoryReader
from app.kafka import provisioning
from app.kafka.producers import publish_all
from app.settings import Settings, TaskSettings
from app.settings.memory import CorrectionMemorySettings
from tests.support.sum_task import SumTask

TASK, TOPIC = "letters", "remembered"
"""The task, and the name of its topics, which no other test uses."""


@pytest.fixture(scope="module")
async def settings(platform: Settings) -> Settings:
    settings = platform.model_copy(update={"tasks": {TOPIC: "tests.support.tasks:Letters"}, "partitions": 2})
    await provisioning.provision(settings)
    return settings


@asynccontextmanager
async def read_memory(settings: Settings) -> AsyncIterator[CorrectionMemory]:
    """Yield a memory that a reader keeps up to date."""
    rules = TaskSettings(correction_memory=CorrectionMemorySettings())
    memory = CorrectionMemory(SumTask(), rules, lambda version: None)
    reading = asyncio.create_task(MemoryReader(settings, {TOPIC: memory}).run())
    try:
        yield memory
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def publish_outcome(settings: Settings, digest: str, value: float) -> None:
    """Publish the outcome of a corrected prediction with this input."""
    id = str(uuid.uuid4())
    outcome = OutcomeRecorded(
        prediction_id=prediction_id(TASK, "memory", id),
        request_id=id,
        request_source="memory",
        task=TASK,
        model=ModelRef(name=TASK, version="1"),
        role="champion",
        output={"sum": 1.0},
        confidence=0.5,
        propensity=1.0,
        label={"sum": value},
        feedback=1,
        selection="volunteer",
        input_digest=digest,
    )
    key, now = outcome.prediction_id.encode(), datetime.now(UTC).isoformat()
    await publish_all(settings, [outcome.to_record(topics.outcomes(TOPIC), key, id=id, source="test", time=now)])


async def erase_everything(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """Delete all outcomes, and publish that data was erased."""
    partitions = [TopicPartition(topics.outcomes(TOPIC), number) for number in range(settings.partitions)]
    await admin.delete_records({partition: RecordsToDelete(before_offset=-1) for partition in partitions})
    erased = DataErased(erasure_id="e", by="subject", counts={}, requested_by="us")
    now = datetime.now(UTC).isoformat()
    await publish_all(settings, [erased.to_record(topics.LIFECYCLE, None, id="e", source="test", time=now)])


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def digest() -> str:
    return uuid.uuid4().hex * 2


async def test_a_memory_has_what_was_recorded_before_and_after_its_start_and_nothing_that_is_erased(
    settings: Settings, admin: AIOKafkaAdminClient, digest: str
) -> None:
    later = uuid.uuid4().hex * 2
    await publish_outcome(settings, digest, 7.0)
    async with read_memory(settings) as memory:
        await wait_until(lambda: memory.is_complete)
        assert memory.recall("1", digest) is not None
        assert memory.recall("1", later) is None
        await publish_outcome(settings, later, 8.0)
        await wait_until(lambda: memory.recall("1", later) is not None)
        await erase_everything(settings, admin)
        await wait_until(lambda: memory.recall("1", later) is None)
        await wait_until(lambda: memory.is_complete)
        assert [memory.recall("1", input) for input in (digest, later)] == [None, None]
        await publish_outcome(settings, digest, 9.0)
        await wait_until(lambda: memory.recall("1", digest) is not None)
