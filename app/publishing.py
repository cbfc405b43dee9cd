"""Publishing that is confirmed: each record is in the log, or it is known why not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka.errors import InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError

from app.cloudevents import Record
from app.delivery import Unpublishable

_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)
CONFIRM_SECONDS = 30.0
"""A record that is not confirmed by then is sent again: ids de-duplicate."""

Send = Callable[[Record], Awaitable[Awaitable[Any]]]
"""Hands a record to a producer; awaits to the broker's confirmation of it."""


async def publish_confirmed(send: Send, records: Sequence[Record]) -> list[Exception | None]:
    """Send all, then wait for the broker's word on each: None, or why it is not in the log."""
    sent: list[Awaitable[Any] | Exception] = []
    for record in records:
        try:
            sent.append(await send(record))
        except Exception as error:  # one record's failure is that record's
            sent.append(error)
    return [await _confirmed(delivery) for delivery in sent]


async def _confirmed(delivery: Awaitable[Any] | Exception) -> Exception | None:
    error = delivery if isinstance(delivery, Exception) else None
    if not isinstance(delivery, Exception):
        try:
            await asyncio.wait_for(delivery, CONFIRM_SECONDS)
        except Exception as failed:
            error = failed
    for reason in (error, getattr(error, "__cause__", None)):  # Faust wraps what the producer says
        if isinstance(reason, _REFUSALS):
            return Unpublishable(f"{type(reason).__name__}: {reason}")
    return error
