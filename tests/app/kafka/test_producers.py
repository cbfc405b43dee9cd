import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unpublishable
from app.events.cloudevents import Record
from app.kafka import producers
from app.kafka.producers import publish_confirmed


@dataclass
class FakeBatch:
    capacity: int
    values: list[bytes] = field(default_factory=list)

    def append(self, *, timestamp: None, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        if self.values and sum(map(len, self.values)) + len(value) > self.capacity:
            return None
        self.values.append(value)
        return object()

    def close(self) -> None:
        pass


@dataclass
class Delivery:
    """A batch, or a single record, that the producer was given; `confirmation` is for the test to decide."""

    topic: str
    partition: int
    values: Sequence[bytes]
    confirmation: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FakeProducer:
    """A producer as aiokafka's. It confirms at once what `errors` and `unanswered` do not name."""

    def __init__(
        self,
        *,
        partitions: int = 4,
        capacity: int = 1000,
        max_bytes: int = 1000,
        errors: dict[bytes, Exception] | None = None,
        unanswered: Iterable[bytes] = (),
    ) -> None:
        self.deliveries: list[Delivery] = []
        self._partitions = partitions
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._errors = errors or {}
        self._unanswered = set(unanswered)

    async def partitions_for(self, topic: str) -> set[int]:
        if topic == "unknown":
            raise UnknownTopicOrPartitionError
        return set(range(self._partitions))

    def create_batch(self) -> FakeBatch:
        return FakeBatch(self._capacity)

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[None]:
        return self._deliver(topic, partition, batch.values)

    async def send(
        self, topic: str, value: bytes, key: bytes | None, partition: int, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[None]:
        if len(value) > self._max_bytes:
            raise MessageSizeTooLargeError("it is longer than the producer sends")
        return self._deliver(topic, partition, [value])

    def _deliver(self, topic: str, partition: int, values: Sequence[bytes]) -> asyncio.Future[None]:
        delivery = Delivery(topic, partition, values)
        self.deliveries.append(delivery)
        errors = [self._errors[value] for value in values if value in self._errors]
        if errors:
            delivery.confirmation.set_exception(errors[0])
        elif not self._unanswered.intersection(values):
            delivery.confirmation.set_result(None)
        return delivery.confirmation


def records_of(*values: bytes, key: bytes | None = b"key", topic: str = "topic") -> list[Record]:
    return [Record(topic, key, value, ()) for value in values]


async def start_publishing(producer: FakeProducer, records: Sequence[Record], deliveries: int) -> Any:
    """Publish the records in a task, and return it once the producer has got so many deliveries."""
    publishing = asyncio.create_task(publish_confirmed(producer, records))
    while len(producer.deliveries) < deliveries:
        await asyncio.sleep(0)
    return publishing


async def test_the_records_for_a_partition_are_one_batch_in_their_order() -> None:
    producer = FakeProducer()
    assert await publish_confirmed(producer, records_of(b"0", b"1", b"2")) == [None, None, None]
    [delivery] = producer.deliveries
    assert (delivery.partition, delivery.values) == ((murmur2(b"key") & 0x7FFFFFFF) % 4, [b"0", b"1", b"2"])


async def test_records_without_a_key_are_one_batch_too() -> None:
    producer = FakeProducer()
    assert await publish_confirmed(producer, records_of(b"0", b"1", b"2", key=None)) == [None, None, None]
    assert [delivery.values for delivery in producer.deliveries] == [[b"0", b"1", b"2"]]


async def test_a_record_goes_to_the_partition_that_is_given_if_the_topic_has_it() -> None:
    producer = FakeProducer(partitions=3)
    key_partition = (murmur2(b"key") & 0x7FFFFFFF) % 3
    assert await publish_confirmed(producer, records_of(b"0", b"1", b"2"), [2, 3, None]) == [None, None, None]
    partitions = {value: delivery.partition for delivery in producer.deliveries for value in delivery.values}
    assert partitions == {b"0": 2, b"1": key_partition, b"2": key_partition}


KEYS = st.one_of(st.none(), st.binary(max_size=3))


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "unknown"]), KEYS, st.integers(0, 60)), max_size=30),
    st.integers(1, 3),
    st.integers(1, 100),
)
def test_each_record_is_delivered_once_in_the_order_of_its_key_unless_its_topic_is_unknown(
    made: list[tuple[str, bytes | None, int]], partitions: int, capacity: int
) -> None:
    records = [
        Record(topic, key, f"{number:03}".encode().ljust(size), ()) for number, (topic, key, size) in enumerate(made)
    ]
    producer = FakeProducer(partitions=partitions, capacity=capacity)
    errors = asyncio.run(publish_confirmed(producer, records))
    assert [error is None for error in errors] == [record.topic != "unknown" for record in records]
    delivered: dict[str, list[bytes]] = defaultdict(list)
    for delivery in producer.deliveries:
        delivered[delivery.topic] += delivery.values
    for topic in ("a", "b"):
        assert sorted(delivered[topic]) == sorted(record.value or b"" for record in records if record.topic == topic)
        for key in {record.key for record in records}:
            of_key = [record.value for record in records if (record.topic, record.key) == (topic, key)]
            assert [value for value in delivered[topic] if value in of_key] == of_key


async def test_all_batches_are_sent_before_the_first_confirmation() -> None:
    producer = FakeProducer(unanswered=[b"0", b"1"])
    publishing = await start_publishing(producer, records_of(b"0") + records_of(b"1", topic="other"), 2)
    for delivery in producer.deliveries:
        delivery.confirmation.set_result(None)
    assert await publishing == [None, None]


async def test_publishing_ends_only_when_the_broker_has_confirmed_every_record() -> None:
    producer = FakeProducer(unanswered=[b"0", b"1"])
    publishing = await start_publishing(producer, records_of(b"0") + records_of(b"1", topic="other"), 2)
    producer.deliveries[1].confirmation.set_result(None)
    await asyncio.sleep(0.01)
    assert not publishing.done()
    producer.deliveries[0].confirmation.set_result(None)
    assert await publishing == [None, None]


async def test_a_failure_fails_the_records_of_its_batch_only() -> None:
    producer = FakeProducer(errors={b"1": KafkaConnectionError("away")})
    errors = await publish_confirmed(producer, records_of(b"0", b"1") + records_of(b"2", topic="other"))
    assert [str(error) for error in errors] == ["KafkaConnectionError: away", "KafkaConnectionError: away", "None"]


async def test_records_without_a_confirmation_in_time_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers, "CONFIRM_SECONDS", 0.01)
    producer = FakeProducer(unanswered=[b"1"])
    errors = await publish_confirmed(producer, records_of(b"0", b"1") + records_of(b"2", topic="other"))
    assert [type(error) for error in errors] == [TimeoutError, TimeoutError, type(None)]


@pytest.mark.parametrize("kind", [MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError])
@pytest.mark.parametrize("values", [[b"1"], [b"0", b"1", b"2"]])
async def test_of_a_batch_that_the_broker_refuses_only_the_record_that_it_will_never_accept_is_unpublishable(
    kind: type[Exception], values: list[bytes]
) -> None:
    producer = FakeProducer(errors={b"1": kind("too much")})
    errors = await publish_confirmed(producer, records_of(*values))
    for value, error in zip(values, errors, strict=True):
        if value == b"1":
            assert isinstance(error, Unpublishable)
            assert str(error) == f"{kind.__name__}: {kind('too much')}"
        else:
            assert error is None


async def test_a_record_that_is_too_large_to_be_sent_is_unpublishable_and_the_others_keep_their_order() -> None:
    producer = FakeProducer(capacity=10, max_bytes=20)
    errors = await publish_confirmed(producer, records_of(b"0", b"1", b"x" * 21, b"y" * 20, b"2", b"3"))
    assert [type(error).__name__ for error in errors] == [*["NoneType"] * 2, "Unpublishable", *["NoneType"] * 3]
    assert [delivery.values for delivery in producer.deliveries] == [[b"0", b"1"], [b"y" * 20], [b"2", b"3"]]


async def test_cancellation_ends_the_wait_for_confirmations() -> None:
    publishing = await start_publishing(FakeProducer(unanswered=[b"0"]), records_of(b"0"), 1)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
