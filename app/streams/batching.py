"""Batches of a stream: bounded in records, bytes and time."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from faust.types import EventT

T = TypeVar("T")
_LOOK_SECONDS = 0.05
"""How often a batch that waits looks whether it is full."""


@dataclass(frozen=True)
class Bounds:
    """A batch has at most so many events, the first of which waited at most so long; one event may exceed `size`."""

    events: int
    seconds: float
    size: float = math.inf


def _size(event: EventT[Any]) -> int:
    return len(event.message.value or b"")


async def batches(
    events: AsyncIterable[T], bounds: Bounds, size: Callable[[T], int] = lambda _: 0
) -> AsyncGenerator[list[T], None]:
    """Batches of the events, each as soon as a bound is reached.

    Faust's own `noack_take` wakes up at every interval and starts a new one after each batch; this one waits for the
    first event, and takes what has come while the batch before was handled at once.
    """
    waiting = _Waiting[T](bounds, size)
    feeding = asyncio.create_task(waiting.feed(events))
    try:
        while True:
            if not await waiting.some(feeding):
                feeding.result()
                return
            deadline = time.monotonic() + bounds.seconds
            while not waiting.full and not feeding.done() and (rest := deadline - time.monotonic()) > 0:
                await asyncio.sleep(min(rest, _LOOK_SECONDS))
            yield waiting.take()
    finally:
        feeding.cancel()


class _Waiting(Generic[T]):
    """What waits for the next batch: never more than one batch may hold."""

    def __init__(self, bounds: Bounds, size: Callable[[T], int]) -> None:
        self._bounds = bounds
        self._size = size
        self._events: list[T] = []
        self._held = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._events) >= self._bounds.events or self._held >= self._bounds.size

    async def feed(self, events: AsyncIterable[T]) -> None:
        async for event in events:
            self._events.append(event)
            self._held += self._size(event)
            self._changed.set()
            if self.full:
                self._room.clear()
                await self._room.wait()

    async def some(self, feeding: "asyncio.Task[None]") -> bool:
        """Wait for an event; False when there will be none any more."""
        if not self._events:
            self._changed.clear()
            waiting = asyncio.create_task(self._changed.wait())
            await asyncio.wait((feeding, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        return bool(self._events)

    def take(self) -> list[T]:
        taken, self._events, self._held = self._events, [], 0
        self._room.set()
        return taken
