"""Batches of a stream. Faust's handling of them is tested on the platform (tests/integration)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streams.batching import BatchLimits, ItemSize, batch_items

EVENT_SIZES = st.tuples(st.integers(1, 5), st.integers(0, 9))


async def stream_items(*numbers: int, pause: float = 0.0) -> AsyncIterator[int]:
    for number in numbers:
        if pause:
            await asyncio.sleep(pause)
        yield number


@given(st.lists(EVENT_SIZES, max_size=30), st.integers(1, 9), st.integers(1, 20), st.sampled_from([0, 0.001]))
def test_every_item_is_in_one_batch_in_order_and_only_a_single_item_exceeds_a_limit(
    made: list[tuple[int, int]], max_events: int, max_bytes: int, wait: float
) -> None:
    sizes = [ItemSize(*size) for size in made]

    async def collect() -> list[list[int]]:
        limits = BatchLimits(max_events, wait, max_bytes)
        return [batch async for batch in batch_items(stream_items(*range(len(sizes))), limits, sizes.__getitem__)]

    batches = asyncio.run(collect())
    assert [item for batch in batches for item in batch] == list(range(len(sizes)))
    for batch in batches:
        events, size = (sum(sizes[item][axis] for item in batch) for axis in (0, 1))
        assert len(batch) == 1 or (batch and events <= max_events and size <= max_bytes)


async def test_items_that_arrive_while_a_batch_is_handled_are_the_next_batch() -> None:
    stream = batch_items(stream_items(*range(10), pause=0.001), BatchLimits(100, 0))
    first = await anext(stream)
    await asyncio.sleep(0.1)
    second = await anext(stream)
    assert len(first) < 10
    assert first + second == list(range(10))
    await stream.aclose()


async def test_the_first_item_of_a_batch_waits_for_others_within_the_limit() -> None:
    stream = batch_items(stream_items(1, 2, 3, pause=0.005), BatchLimits(100, 0.2))
    assert await anext(stream) == [1, 2, 3]
    await stream.aclose()


async def test_no_more_items_are_taken_from_the_stream_than_a_batch_may_hold_and_one() -> None:
    taken = 0

    async def endless() -> AsyncIterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    stream = batch_items(endless(), BatchLimits(4, 0))
    batch = await anext(stream)
    await asyncio.sleep(0.01)
    assert taken <= len(batch) + 4 + 1
    await stream.aclose()


async def test_a_stream_that_fails_ends_its_batches_with_the_error() -> None:
    async def fail() -> AsyncIterator[int]:
        raise OSError("the broker is gone")
        yield 1

    with pytest.raises(OSError, match="gone"):
        await anext(batch_items(fail(), BatchLimits(4, 0)))


async def test_a_batch_ends_at_its_limit_of_bytes_without_a_wait() -> None:
    stream = batch_items(
        stream_items(3, 3, 3, 3), BatchLimits(100, 60, max_bytes=6), size=lambda item: ItemSize(1, item)
    )
    async with asyncio.timeout(10):
        assert await anext(stream) == [3, 3]
        assert await anext(stream) == [3, 3]
    await stream.aclose()
