"""Batches of a stream, bounded in events, bytes and time."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from faust.types import EventT

T = TypeVar("T")
_POLL_SECONDS = 0.05
"""Interval at which a waiting batch is checked for its limits."""


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a batch: its events, the wait of its first event, its bytes. A single event may exceed `max_bytes`."""

    max_events: int
    max_wait_seconds: float
    max_bytes: float = math.inf


def payload_bytes(event: EventT[Any]) -> int:
    """Return the size of an event's payload."""
    return len(event.message.value or b"")


async def batch_events(
    events: AsyncIterable[T], limits: BatchLimits, size: Callable[[T], int] = lambda _: 0
) -> AsyncGenerator[list[T], None]:
    """Yield batches of the events, each as soon as a limit is reached.

    Faust's own `noack_take` wakes up at every interval and starts a new interval after each batch. This generator waits
    for the first event, and yields at once the events that arrived while the previous batch was handled.
    """
    buffer = _BatchBuffer[T](limits, size)
    filling = asyncio.create_task(buffer.fill(events))
    try:
        while True:
            if not await buffer.wait_for_event(filling):
                filling.result()
                return
            deadline = time.monotonic() + limits.max_wait_seconds
            while not buffer.full and not filling.done() and (remaining := deadline - time.monotonic()) > 0:
                await asyncio.sleep(min(remaining, _POLL_SECONDS))
            yield buffer.take()
    finally:
        filling.cancel()


class _BatchBuffer(Generic[T]):
    """Events for the next batch: never more than one batch may hold."""

    def __init__(self, limits: BatchLimits, size: Callable[[T], int]) -> None:
        self._limits = limits
        self._size = size
        self._events: list[T] = []
        self._buffered_bytes = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._events) >= self._limits.max_events or self._buffered_bytes >= self._limits.max_bytes

    async def fill(self, events: AsyncIterable[T]) -> None:
        async for event in events:
            self._events.append(event)
            self._buffered_bytes += self._size(event)
            self._filled.set()
            if self.full:
                self._emptied.clear()
                await self._emptied.wait()

    async def wait_for_event(self, filling: "asyncio.Task[None]") -> bool:
        """Wait for an event. Return False if the stream has ended."""
        if not self._events:
            self._filled.clear()
            waiting = asyncio.create_task(self._filled.wait())
            await asyncio.wait((filling, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        return bool(self._events)

    def take(self) -> list[T]:
        batch, self._events, self._buffered_bytes = self._events, [], 0
        self._emptied.set()
        return batch
