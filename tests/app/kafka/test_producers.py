import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from aiokafka.errors import InvalidTopicError, KafkaConnectionError, MessageSizeTooLargeError, RecordListTooLargeError

from app.errors import Unpublishable
from app.events.cloudevents import Record
from app.kafka import producers
from app.kafka.producers import publish_confirmed

RECORDS = [Record("topic", None, value, ()) for value in (b"0", b"1", b"2")]


class WrappedError(Exception):
    """Faust's wrapper of a producer's error."""


class FakeProducer:
    """Takes records; the test decides the result of each delivery."""

    def __init__(self) -> None:
        self.deliveries: dict[bytes, asyncio.Future[Any]] = {}
        self.send_errors: dict[bytes, Exception] = {}

    async def __call__(self, record: Record) -> Awaitable[Any]:
        value = record.value or b""
        if value in self.send_errors:
            raise self.send_errors[value]
        self.deliveries[value] = asyncio.get_running_loop().create_future()
        return self.deliveries[value]


async def start_publishing(producer: FakeProducer, count: int = len(RECORDS)) -> asyncio.Task[list[Exception | None]]:
    """Publish the records in a task, and return it once so many were sent."""
    publishing = asyncio.create_task(publish_confirmed(producer, RECORDS))
    while len(producer.deliveries) < count:
        await asyncio.sleep(0)
    return publishing


async def test_all_records_are_sent_before_the_first_confirmation() -> None:
    producer = FakeProducer()
    publishing = await start_publishing(producer)
    for delivery in producer.deliveries.values():
        delivery.set_result(None)
    assert await publishing == [None, None, None]


async def test_publishing_ends_only_when_the_broker_has_confirmed_every_record() -> None:
    producer = FakeProducer()
    publishing = await start_publishing(producer)
    for value in (b"2", b"0"):
        producer.deliveries[value].set_result(None)
    await asyncio.sleep(0.01)
    assert not publishing.done()
    producer.deliveries[b"1"].set_result(None)
    assert await publishing == [None, None, None]


async def test_the_failure_of_a_record_does_not_affect_the_others() -> None:
    producer = FakeProducer()
    producer.send_errors[b"0"] = KafkaConnectionError("down")
    publishing = await start_publishing(producer, 2)
    producer.deliveries[b"1"].set_result(None)
    producer.deliveries[b"2"].set_exception(KafkaConnectionError("away"))
    assert [str(error) for error in await publishing] == [
        "KafkaConnectionError: down",
        "None",
        "KafkaConnectionError: away",
    ]


async def test_a_record_without_a_confirmation_in_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers, "CONFIRM_SECONDS", 0.01)
    assert all(isinstance(error, TimeoutError) for error in await publish_confirmed(FakeProducer(), RECORDS))


@pytest.mark.parametrize("kind", [MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
async def test_a_record_that_the_broker_will_never_accept_is_unpublishable(
    kind: type[Exception], wrapped: bool, at_once: bool
) -> None:
    error: Exception = kind("too much")
    if wrapped:
        outer = WrappedError("it failed")
        outer.__cause__ = error
        error = outer
    producer = FakeProducer()
    if at_once:
        producer.send_errors[b"1"] = error
    publishing = await start_publishing(producer, 2 if at_once else 3)
    for value, delivery in producer.deliveries.items():
        if value == b"1":
            delivery.set_exception(error)
        else:
            delivery.set_result(None)
    first, second, third = await publishing
    assert (first, third) == (None, None)
    assert isinstance(second, Unpublishable)
    assert kind.__name__ in str(second)


async def test_cancellation_ends_the_wait_for_confirmations() -> None:
    publishing = await start_publishing(FakeProducer())
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
