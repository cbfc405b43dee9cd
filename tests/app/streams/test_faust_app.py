"""Micro-batches; what Faust does with them is tested on the real stack."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streams.batching import BatchLimits, batch_events


async def events(*numbers: int, pause: float = 0.0) -> AsyncIterator[int]:
    for number in numbers:
        if pause:
            await asyncio.sleep(pause)
        yield number


@given(st.integers(0, 50), st.integers(1, 9))
def test_every_event_is_in_one_batch_in_order_and_none_is_too_long(count: int, most: int) -> None:
    async def collect() -> list[list[int]]:
        found = []
        async for batch in batch_events(events(*range(count)), BatchLimits(most, 0)):
            await asyncio.sleep(0)
            found.append(batch)
            if sum(map(len, found)) == count:
                break
        return found

    found = asyncio.run(collect())
    assert [event for batch in found for event in batch] == list(range(count))
    assert all(1 <= len(batch) <= most for batch in found)


async def test_what_comes_while_a_batch_is_handled_is_the_next_batch() -> None:
    stream = batch_events(events(*range(10), pause=0.001), BatchLimits(100, 0))
    first = await anext(stream)
    await asyncio.sleep(0.1)
    second = await anext(stream)
    assert len(first) < 10
    assert first + second == list(range(10))
    await stream.aclose()


async def test_the_first_event_of_a_batch_waits_for_others_but_not_for_long() -> None:
    stream = batch_events(events(1, 2, 3, pause=0.005), BatchLimits(100, 0.2))
    assert await anext(stream) == [1, 2, 3]
    await stream.aclose()


async def test_no_more_is_taken_from_the_topic_than_can_wait() -> None:
    taken = 0

    async def endless() -> AsyncIterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    stream = batch_events(endless(), BatchLimits(4, 0))
    handled = await anext(stream)
    await asyncio.sleep(0.01)
    assert taken <= len(handled) + 4 + 1
    await stream.aclose()


async def test_a_failing_stream_ends_the_batches_with_its_error() -> None:
    async def broken() -> AsyncIterator[int]:
        raise OSError("the broker is gone")
        yield 1

    with pytest.raises(OSError, match="gone"):
        await anext(batch_events(broken(), BatchLimits(4, 0)))


async def test_a_batch_ends_when_it_is_large_enough() -> None:
    stream = batch_events(events(3, 3, 3, 3), BatchLimits(100, 5, max_bytes=6), size=lambda event: event)
    assert await anext(stream) == [3, 3]
    assert await anext(stream) == [3, 3]
    await stream.aclose()
