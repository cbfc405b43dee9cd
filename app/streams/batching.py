"""Batches of a stream: bounded in records, bytes and time."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from faust.types import EventT

T = TypeVar("T")
_POLL_SECONDS = 0.05
"""How often a batch that waits looks whether it is full."""


@dataclass(frozen=True)
class BatchLimits:
    """A batch has at most so many events, the first of which waited at most so long; one event may exceed `size`."""

    max_events: int
    max_wait_seconds: float
    max_bytes: float = math.inf


def _payload_bytes(event: EventT[Any]) -> int:
    return len(event.message.value or b"")


async def batch_events(
    events: AsyncIterable[T], limits: BatchLimits, size: Callable[[T], int] = lambda _: 0
) -> AsyncGenerator[list[T], None]:
    """Batches of the events, each as soon as a bound is reached.

    Faust's own `noack_take` wakes up at every interval and starts a new one after each batch; this one waits for the
    first event, and takes what has come while the batch before was handled at once.
    """
    waiting = _BatchBuffer[T](limits, size)
    feeding = asyncio.create_task(waiting.feed(events))
    try:
        while True:
            if not await waiting.wait_for_event(feeding):
                feeding.result()
                return
            deadline = time.monotonic() + limits.max_wait_seconds
            while not waiting.full and not feeding.done() and (rest := deadline - time.monotonic()) > 0:
                await asyncio.sleep(min(rest, _POLL_SECONDS))
            yield waiting.take()
    finally:
        feeding.cancel()


class _BatchBuffer(Generic[T]):
    """What waits for the next batch: never more than one batch may hold."""

    def __init__(self, bounds: BatchLimits, size: Callable[[T], int]) -> None:
        self._limits = bounds
        self._size = size
        self._events: list[T] = []
        self._buffered_bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._events) >= self._limits.max_events or self._buffered_bytes >= self._limits.max_bytes

    async def feed(self, events: AsyncIterable[T]) -> None:
        async for event in events:
            self._events.append(event)
            self._buffered_bytes += self._size(event)
            self._changed.set()
            if self.full:
                self._room.clear()
                await self._room.wait()

    async def wait_for_event(self, feeding: "asyncio.Task[None]") -> bool:
        """Wait for an event; False when there will be none any more."""
        if not self._events:
            self._changed.clear()
            waiting = asyncio.create_task(self._changed.wait())
            await asyncio.wait((feeding, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        return bool(self._events)

    def take(self) -> list[T]:
        taken, self._events, self._buffered_bytes = self._events, [], 0
        self._room.set()
        return taken
