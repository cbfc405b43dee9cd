"""Confirmed publishing: each record is in the log, or the error is known."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.errors import InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError

from app.errors import Unpublishable
from app.events.cloudevents import Record
from app.events.topics import max_message_bytes
from app.kafka import clients
from app.settings import Settings

_PERMANENT_ERRORS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)
CONFIRM_SECONDS = 30.0
"""A record that is not confirmed in time is published again: ids de-duplicate."""

RecordSender = Callable[[Record], Awaitable[Awaitable[Any]]]
"""Hands a record to a producer. Awaits to an awaitable of the broker's confirmation."""


async def publish_confirmed(send: RecordSender, records: Sequence[Record]) -> list[Exception | None]:
    """Send all records, then wait for each confirmation. Return None, or the error, for each record."""
    deliveries: list[Awaitable[Any] | Exception] = []
    for record in records:
        try:
            deliveries.append(await send(record))
        except Exception as error:  # must not affect the other records
            deliveries.append(error)
    return [await _wait_for_confirmation(delivery) for delivery in deliveries]


async def _wait_for_confirmation(delivery: Awaitable[Any] | Exception) -> Exception | None:
    error = delivery if isinstance(delivery, Exception) else None
    if not isinstance(delivery, Exception):
        try:
            await asyncio.wait_for(delivery, CONFIRM_SECONDS)
        except Exception as delivery_error:
            error = delivery_error
    for reason in (error, getattr(error, "__cause__", None)):  # Faust wraps the producer's error
        if isinstance(reason, _PERMANENT_ERRORS):
            return Unpublishable(f"{type(reason).__name__}: {reason}")
    return error


@asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[RecordSender]:
    """Open a producer for a command."""
    producer = clients.create_producer(settings, linger_ms=5, max_request_size=max_message_bytes(settings))
    await producer.start()

    async def send(record: Record) -> Awaitable[Any]:
        headers = list(record.headers)
        return await producer.send(record.topic, record.value, record.key, headers=headers)  # type: ignore[no-any-return]

    try:
        yield send
    finally:
        await producer.stop()


async def publish_all(settings: Settings, records: Sequence[Record]) -> None:
    """Publish records and wait for their confirmations. Raises the first error."""
    async with open_producer(settings) as send:
        for error in await publish_confirmed(send, records):
            if error is not None:
                raise error
