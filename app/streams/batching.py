"""Batches of a stream, bounded in events, bytes and time."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a batch: its events, the wait of its first event, its bytes."""

    max_events: int
    max_wait_seconds: float
    max_bytes: float = math.inf


class ItemSize(NamedTuple):
    """Size of an item of a stream, which may hold many events."""

    events: int = 1
    bytes: int = 0


async def batch_items(
    items: AsyncIterable[T], limits: BatchLimits, size: Callable[[T], ItemSize] = lambda _: ItemSize()
) -> AsyncGenerator[list[T], None]:
    """Yield batches of the stream's items, each as soon as a limit is reached. An item above a limit is alone.

    Faust's own `noack_take` wakes up at every interval and starts a new interval after each batch. This generator waits
    for the first item, and yields at once the items that arrived while the previous batch was handled.
    """
    buffer = _BatchBuffer[T](limits, size)
    filling = asyncio.create_task(buffer.fill(items))
    try:
        while await buffer.wait_for_item():
            await buffer.wait_until_full(limits.max_wait_seconds)
            yield buffer.take()
        await filling  # raises the error of the stream
    finally:
        filling.cancel()


class _BatchBuffer(Generic[T]):
    """Items for the next batch: never more than one batch may hold."""

    def __init__(self, limits: BatchLimits, size: Callable[[T], ItemSize]) -> None:
        self._limits = limits
        self._size = size
        self._items: list[T] = []
        self._total = ItemSize(0)
        self._ended = False
        self._filled = asyncio.Event()
        self._full = asyncio.Event()
        self._emptied = asyncio.Event()

    async def fill(self, items: AsyncIterable[T]) -> None:
        """Take items from the stream until it ends, whenever there is room."""
        try:
            async for item in items:
                size = self._size(item)
                total = ItemSize(self._total.events + size.events, self._total.bytes + size.bytes)
                if self._items and (total.events > self._limits.max_events or total.bytes > self._limits.max_bytes):
                    await self._wait_until_empty()
                    total = size
                self._items.append(item)
                self._total = total
                self._filled.set()
                if total.events >= self._limits.max_events or total.bytes >= self._limits.max_bytes:
                    await self._wait_until_empty()
        finally:
            self._ended = True
            self._filled.set()
            self._full.set()

    async def _wait_until_empty(self) -> None:
        self._emptied.clear()
        self._full.set()
        await self._emptied.wait()

    async def wait_for_item(self) -> bool:
        """Wait for an item. Return False if the stream has ended."""
        await self._filled.wait()
        return bool(self._items)

    async def wait_until_full(self, seconds: float) -> None:
        """Wait until the batch takes no more items, at most for this time."""
        if seconds > 0 and not self._full.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._full.wait()

    def take(self) -> list[T]:
        """Return the batch, and start the next."""
        batch, self._items, self._total = self._items, [], ItemSize(0)
        if not self._ended:
            self._filled.clear()
            self._full.clear()
        self._emptied.set()
        return batch
