import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from aiokafka.errors import InvalidTopicError, KafkaConnectionError, MessageSizeTooLargeError, RecordListTooLargeError

from app.errors import Unpublishable
from app.events.cloudevents import Record
from app.kafka import producers as publishing
from app.kafka.producers import publish_confirmed

RECORDS = [Record("topic", None, value, ()) for value in (b"0", b"1", b"2")]


class Wrapped(Exception):
    """What Faust makes of a producer's error."""


class Producer:
    """Takes records; the test says what becomes of each."""

    def __init__(self) -> None:
        self.deliveries: dict[bytes, asyncio.Future[Any]] = {}
        self.refusals: dict[bytes, Exception] = {}

    async def __call__(self, record: Record) -> Awaitable[Any]:
        value = record.value or b""
        if value in self.refusals:
            raise self.refusals[value]
        self.deliveries[value] = asyncio.get_running_loop().create_future()
        return self.deliveries[value]


async def sent(producer: Producer, count: int = len(RECORDS)) -> asyncio.Task[list[Exception | None]]:
    publishing = asyncio.create_task(publish_confirmed(producer, RECORDS))
    while len(producer.deliveries) < count:
        await asyncio.sleep(0)
    return publishing


async def test_all_are_sent_before_any_is_waited_for() -> None:
    producer = Producer()
    publishing = await sent(producer)
    for delivery in producer.deliveries.values():
        delivery.set_result(None)
    assert await publishing == [None, None, None]


async def test_nothing_is_confirmed_before_the_brokers_word() -> None:
    producer = Producer()
    publishing = await sent(producer)
    for value in (b"2", b"0"):
        producer.deliveries[value].set_result(None)
    await asyncio.sleep(0.01)
    assert not publishing.done()
    producer.deliveries[b"1"].set_result(None)
    assert await publishing == [None, None, None]


async def test_each_records_failure_is_its_own() -> None:
    producer = Producer()
    producer.refusals[b"0"] = KafkaConnectionError("down")
    publishing = await sent(producer, 2)
    producer.deliveries[b"1"].set_result(None)
    producer.deliveries[b"2"].set_exception(KafkaConnectionError("away"))
    assert [str(error) for error in await publishing] == [
        "KafkaConnectionError: down",
        "None",
        "KafkaConnectionError: away",
    ]


async def test_a_record_without_an_answer_in_time_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "CONFIRM_SECONDS", 0.01)
    assert all(isinstance(error, TimeoutError) for error in await publish_confirmed(Producer(), RECORDS))


@pytest.mark.parametrize("kind", [MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
async def test_what_the_broker_will_never_take_is_unpublishable(
    kind: type[Exception], wrapped: bool, at_once: bool
) -> None:
    error: Exception = kind("too much")
    if wrapped:
        outer = Wrapped("it failed")
        outer.__cause__ = error
        error = outer
    producer = Producer()
    if at_once:
        producer.refusals[b"1"] = error
    publishing = await sent(producer, 2 if at_once else 3)
    for value, delivery in producer.deliveries.items():
        if value == b"1":
            delivery.set_exception(error)
        else:
            delivery.set_result(None)
    first, second, third = await publishing
    assert (first, third) == (None, None)
    assert isinstance(second, Unpublishable)
    assert kind.__name__ in str(second)


async def test_cancellation_ends_the_wait() -> None:
    publishing = await sent(Producer())
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
