"""Retries with exponential backoff, without a limit of attempts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from app.errors import describe

T = TypeVar("T")
_MIN_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 5.0


async def retry(
    attempt: Callable[[], Awaitable[T]], errors: tuple[type[Exception], ...], log: logging.Logger, message: str
) -> T:
    """Return the result of the first successful attempt. After one of these errors, log it, wait, and try again."""
    waits = backoff()
    while True:
        try:
            return await attempt()
        except errors as error:
            wait = next(waits)
            log.warning("%s, retrying in %.1f s: %s", message, wait, describe(error))
        await asyncio.sleep(wait)


def backoff() -> Iterator[float]:
    """Yield the seconds to wait before each further attempt: doubled each time, up to a limit, without end."""
    wait = _MIN_BACKOFF_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, _MAX_BACKOFF_SECONDS)
