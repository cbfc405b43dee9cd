"""Answers lately, counted by the offsets of a real broker."""

import asyncio
import time
from itertools import count

import pytest

from app.events import topics
from app.kafka import provisioning
from app.pages.overview.throughput import (
    BUCKET_COUNT,
    BUCKET_SECONDS,
    BucketCounts,
    ThroughputReader,
    answers_per_second,
)
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish

_NUMBERS = count()


@pytest.fixture
async def config(platform: Settings) -> Settings:
    """Settings of a task without any answers, on the real broker."""
    found = platform.model_copy(update={"tasks": {f"traffic_{next(_NUMBERS)}": "tests.support.tasks:Letters"}})
    await provisioning.provision(found)
    return found


async def answer(config: Settings, number: int) -> float:
    """Publish so many; the middle of a bucket that is over once they are."""
    [task] = config.tasks
    await publish(config, topics.predictions(task), [OutgoingRecord(b"")] * number)
    begun = time.time() // BUCKET_SECONDS
    while (ended := time.time() // BUCKET_SECONDS) == begun:
        await asyncio.sleep(0.1)
    return (ended + 0.5) * BUCKET_SECONDS


async def counts(traffic: ThroughputReader, now: float) -> BucketCounts:
    [found] = (await traffic.read(now)).values()
    return found


async def test_of_a_task_without_answers_there_are_none(config: Settings) -> None:
    assert await counts(ThroughputReader(config), time.time()) == (0,) * BUCKET_COUNT


async def test_answers_are_counted_once_in_the_bucket_of_their_time(config: Settings) -> None:
    traffic, later = ThroughputReader(config), BUCKET_COUNT // 2 * BUCKET_SECONDS
    now = await answer(config, 7)
    first = await counts(traffic, now)
    assert (len(first), sum(first), sum(first[:-4]), first[-1]) == (BUCKET_COUNT, 7, 0, 0)
    now = await answer(config, 2)
    both, anew = await counts(traffic, now), await counts(ThroughputReader(config), now)
    assert both == anew
    assert (sum(both), sum(await counts(traffic, now + later))) == (9, 9)
    assert sum(await counts(traffic, now + BUCKET_COUNT * BUCKET_SECONDS)) == 0


def test_the_rate_is_of_whole_buckets() -> None:
    assert answers_per_second((*[0] * 57, 10, 20, 3)) == 3.0
    assert answers_per_second((7,)) == 0.0
