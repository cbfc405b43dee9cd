"""Recent answers, counted by the offsets of a real broker."""

import asyncio
import time
from itertools import count

import pytest

from app.events import topics
from app.kafka import provisioning
from app.pages.overview import throughput
from app.pages.overview.throughput import BUCKET_COUNT, BucketCounts, ThroughputReader, answers_per_second
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish

_NUMBERS = count()
BUCKET_SECONDS = 2


@pytest.fixture
async def config(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a task without any answers, on the real broker, and short buckets."""
    monkeypatch.setattr(throughput, "BUCKET_SECONDS", BUCKET_SECONDS)
    settings = platform.model_copy(update={"tasks": {f"traffic_{next(_NUMBERS)}": "tests.support.tasks:Letters"}})
    await provisioning.provision(settings)
    return settings


async def publish_answers(config: Settings, number: int) -> float:
    """Publish this many answers, wait until their bucket is over, and return the middle of the next one."""
    [task] = config.tasks
    await publish(config, topics.predictions(task), [OutgoingRecord(b"")] * number)
    bucket = time.time() // BUCKET_SECONDS
    while (next_bucket := time.time() // BUCKET_SECONDS) == bucket:
        await asyncio.sleep(0.1)
    return (next_bucket + 0.5) * BUCKET_SECONDS


async def read_counts(reader: ThroughputReader, now: float) -> BucketCounts:
    [counts] = (await reader.read(now)).values()
    return counts


async def test_a_task_without_answers_has_counts_of_zero(config: Settings) -> None:
    assert await read_counts(ThroughputReader(config), time.time()) == (0,) * BUCKET_COUNT


async def test_answers_are_counted_once_in_the_bucket_of_their_time(config: Settings) -> None:
    reader, later = ThroughputReader(config), BUCKET_COUNT // 2 * BUCKET_SECONDS
    now = await publish_answers(config, 7)
    first = await read_counts(reader, now)
    assert (len(first), sum(first), sum(first[:-4]), first[-1]) == (BUCKET_COUNT, 7, 0, 0)
    now = await publish_answers(config, 2)
    counts = await read_counts(reader, now)
    assert counts == await read_counts(ThroughputReader(config), now)
    assert (sum(counts), sum(await read_counts(reader, now + later))) == (9, 9)
    assert sum(await read_counts(reader, now + BUCKET_COUNT * BUCKET_SECONDS)) == 0


def test_the_rate_is_computed_from_complete_buckets() -> None:
    assert answers_per_second((*[0] * 57, 10, 20, 3)) == 3.0
    assert answers_per_second((7,)) == 0.0
