import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import backoff
from app.errors import Unavailable, Unpublishable
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.events.types import Failure
from app.streams.delivery import DeliveryGuard, HandlerResult
from app.testing import InMemoryLog
from models.base import Rejected

pytestmark = pytest.mark.usefixtures("impatient")


def make_batch(*values: str) -> list[ConsumedRecord]:
    return [
        ConsumedRecord(Origin(TopicId("c/t"), "in", 0, offset, 0), None, value.encode(), ())
        for offset, value in enumerate(values)
    ]


def make_record(topic: str, event: ConsumedRecord, *suffixes: str) -> Record:
    return Record(topic, None, b":".join([event.value or b"", *(suffix.encode() for suffix in suffixes)]), ())


def reject(event: ConsumedRecord, failure: Failure) -> list[Record]:
    return [
        make_record("dead-letters", event, failure.stage, failure.code, failure.reason),
        make_record("answers", event, "failed"),
    ]


async def echo(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
    """Answer each event; reject those with the value `rejected`."""
    return [
        Rejected("bad", "it is bad") if event.value == b"rejected" else [make_record("answers", event)]
        for event in batch
    ]


class FakeLog:
    """Publisher that keeps the published records in order. `publish_error` decides whether a record fails."""

    def __init__(self, publish_error: Callable[[Record], Exception | None] = lambda _: None) -> None:
        self.publish_error = publish_error
        self.attempts: list[str] = []
        self.records: list[str] = []

    async def __call__(self, records: Sequence[Record]) -> list[Exception | None]:
        errors = [self.publish_error(record) for record in records]
        texts = [f"{record.topic} {(record.value or b'').decode()}" for record in records]
        self.attempts += texts
        self.records += [text for text, error in zip(texts, errors, strict=True) if error is None]
        return errors


def fail_times(count: int, error: Exception, value: bytes) -> Callable[[Record], Exception | None]:
    """Return a function that fails the first so many attempts to publish a record with this value."""
    remaining = count

    def publish_error(record: Record) -> Exception | None:
        nonlocal remaining
        if record.value != value or not remaining:
            return None
        remaining -= 1
        return error

    return publish_error


async def test_every_event_is_answered_or_rejected() -> None:
    log = FakeLog()
    await DeliveryGuard("stage", echo, log, reject).deliver(make_batch("a", "rejected", "b"))
    assert log.records == [
        "answers a",
        "dead-letters rejected:stage:bad:it is bad",
        "answers rejected:failed",
        "answers b",
    ]


async def test_an_empty_batch_is_delivered() -> None:
    log = FakeLog()
    await DeliveryGuard("stage", echo, log, reject).deliver([])
    assert log.attempts == []


async def test_an_event_may_have_no_records() -> None:
    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return [[] for _ in batch]

    log = FakeLog()
    await DeliveryGuard("stage", handle, log, reject).deliver(make_batch("a"))
    assert log.attempts == []


async def test_a_delivery_returns_only_when_all_records_are_confirmed() -> None:
    confirmed = asyncio.Event()

    async def publish(records: Sequence[Record]) -> list[Exception | None]:
        await confirmed.wait()
        return [None for _ in records]

    delivering = asyncio.create_task(DeliveryGuard("stage", echo, publish, reject).deliver(make_batch("a", "b")))
    await asyncio.sleep(0.02)
    assert not delivering.done()
    log.resume()
    await delivering


async def test_a_delivery_does_not_return_while_one_record_is_not_confirmed() -> None:
    is_up = asyncio.Event()
    log = FakeLog(lambda record: OSError("down") if not is_up.is_set() and record.value == b"b" else None)
    delivering = asyncio.create_task(DeliveryGuard("stage", echo, log, reject).deliver(make_batch("a", "b")))
    await asyncio.sleep(0.02)
    assert not delivering.done()
    assert log.records == ["answers a"]
    is_up.set()
    await delivering
    assert log.records == ["answers a", "answers b"]


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_a_dependency_that_is_away_is_retried_any_number_of_times(count: int) -> None:
    failures = iter(range(count))

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        for _ in failures:
            raise Unavailable("MLServer is away")
        return await echo(batch)

    log = FakeLog()
    await DeliveryGuard("stage", handle, log, reject).deliver(make_batch("a", "b"))
    assert log.records == ["answers a", "answers b"]


@given(st.lists(st.sampled_from(["good", "rejected", "bug", "away", "lost", "unpublishable"]), max_size=8))
@settings(deadline=None)
async def test_a_bad_event_does_not_affect_its_neighbours(values: list[str]) -> None:
    outages, losses = ["away"], [OSError("the connection is lost")] * 2

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        if any(event.value == b"bug" for event in batch):
            raise KeyError("bug")
        if any(event.value == b"away" for event in batch) and outages:
            raise Unavailable(outages.pop())
        return await echo(batch)

    def publish_error(record: Record) -> Exception | None:
        if record.topic == "answers" and record.value == b"unpublishable":
            return Unpublishable("too large")
        return losses.pop() if record.value == b"lost" and losses else None

    log = FakeLog(publish_error)
    await DeliveryGuard("stage", handle, log, reject).deliver(make_batch(*values))
    expected = []
    for value in values:
        match value:
            case "rejected":
                expected += ["dead-letters rejected:stage:bad:it is bad", "answers rejected:failed"]
            case "bug":
                expected += ["dead-letters bug:stage:handler_error:KeyError: 'bug'", "answers bug:failed"]
            case "unpublishable":
                reason = "the broker refuses the record for answers: too large"
                expected += [
                    f"dead-letters unpublishable:stage:unpublishable:{reason}",
                    "answers unpublishable:failed",
                ]
            case _:
                expected.append(f"answers {value}")
    assert sorted(log.records) == sorted(expected)


async def test_only_the_records_that_failed_are_published_again() -> None:
    log = FakeLog(fail_times(3, OSError("down"), b"b"))
    await DeliveryGuard("stage", echo, log, reject).deliver(make_batch("a", "b", "c"))
    assert log.attempts == ["answers a", "answers b", "answers c", "answers b", "answers b", "answers b"]
    assert log.records == ["answers a", "answers c", "answers b"]


async def test_a_dead_letter_that_is_not_confirmed_is_published_again() -> None:
    log = FakeLog(fail_times(3, OSError("down"), b"rejected:stage:bad:it is bad"))
    await DeliveryGuard("stage", echo, log, reject).deliver(make_batch("rejected"))
    assert log.records == ["answers rejected:failed", "dead-letters rejected:stage:bad:it is bad"]


async def test_a_refused_answer_of_a_rejection_is_retried_without_another_dead_letter() -> None:
    log = FakeLog(fail_times(5, Unpublishable("too large"), b"rejected:failed"))
    await DeliveryGuard("stage", echo, log, reject).deliver(make_batch("rejected"))
    assert log.records == ["dead-letters rejected:stage:bad:it is bad", "answers rejected:failed"]


async def test_the_handler_is_not_called_again_for_records_that_were_not_published() -> None:
    batch_sizes = []

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        batch_sizes.append(len(batch))
        return await echo(batch)

    await DeliveryGuard("stage", handle, FakeLog(fail_times(3, OSError("down"), b"a")), reject).deliver(
        make_batch("a", "b")
    )
    assert batch_sizes == [2]


async def test_a_wrong_number_of_results_is_an_error_of_the_handler() -> None:
    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return (await echo(batch))[1:]

    log = FakeLog()
    await DeliveryGuard("stage", handle, log, reject).deliver(make_batch("a", "b"))
    assert [text.split(":")[2] for text in log.records if text.startswith("dead")] == ["handler_error"] * 2


@pytest.mark.parametrize("where", ["handle", "publish", "backoff"])
async def test_cancellation_ends_a_delivery(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_MIN_BACKOFF_SECONDS", 60)
    started = asyncio.Event()

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        if where == "handle":
            started.set()
            await asyncio.sleep(60)
        return await echo(batch)

    async def publish(records: Sequence[Record]) -> list[Exception | None]:
        started.set()
        if where == "publish":
            await asyncio.sleep(60)
        return [OSError("down") for _ in records]

    delivering = asyncio.create_task(DeliveryGuard("stage", handle, publish, reject).deliver(make_batch("a", "b")))
    await started.wait()
    await asyncio.sleep(0)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
