"""Batches of a stream. Faust's handling of them is tested on the platform (tests/integration)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streams.batching import BatchLimits, batch_events


async def stream_events(*numbers: int, pause: float = 0.0) -> AsyncIterator[int]:
    for number in numbers:
        if pause:
            await asyncio.sleep(pause)
        yield number


@given(st.integers(0, 50), st.integers(1, 9))
def test_every_event_is_in_one_batch_in_order_and_no_batch_exceeds_its_limit(count: int, max_events: int) -> None:
    async def collect() -> list[list[int]]:
        batches = []
        async for batch in batch_events(stream_events(*range(count)), BatchLimits(max_events, 0)):
            await asyncio.sleep(0)
            batches.append(batch)
            if sum(map(len, batches)) == count:
                break
        return batches

    batches = asyncio.run(collect())
    assert [event for batch in batches for event in batch] == list(range(count))
    assert all(1 <= len(batch) <= max_events for batch in batches)


async def test_events_that_arrive_while_a_batch_is_handled_are_the_next_batch() -> None:
    stream = batch_events(stream_events(*range(10), pause=0.001), BatchLimits(100, 0))
    first = await anext(stream)
    await asyncio.sleep(0.1)
    second = await anext(stream)
    assert len(first) < 10
    assert first + second == list(range(10))
    await stream.aclose()


async def test_the_first_event_of_a_batch_waits_for_others_within_the_limit() -> None:
    stream = batch_events(stream_events(1, 2, 3, pause=0.005), BatchLimits(100, 0.2))
    assert await anext(stream) == [1, 2, 3]
    await stream.aclose()


async def test_no_more_events_are_taken_from_the_stream_than_a_batch_may_hold() -> None:
    taken = 0

    async def endless() -> AsyncIterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    stream = batch_events(endless(), BatchLimits(4, 0))
    batch = await anext(stream)
    await asyncio.sleep(0.01)
    assert taken <= len(batch) + 4 + 1
    await stream.aclose()


async def test_a_stream_that_fails_ends_its_batches_with_the_error() -> None:
    async def fail() -> AsyncIterator[int]:
        raise OSError("the broker is gone")
        yield 1

    with pytest.raises(OSError, match="gone"):
        await anext(batch_events(fail(), BatchLimits(4, 0)))


async def test_a_batch_ends_at_its_limit_of_bytes() -> None:
    stream = batch_events(stream_events(3, 3, 3, 3), BatchLimits(100, 5, max_bytes=6), size=lambda event: event)
    assert await anext(stream) == [3, 3]
    assert await anext(stream) == [3, 3]
    await stream.aclose()
