import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

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


def batch_of(*values: str) -> list[ConsumedRecord]:
    return [
        ConsumedRecord(Origin(TopicId("c/t"), "in", 0, offset, 0), None, value.encode(), ())
        for offset, value in enumerate(values)
    ]


def said(topic: str, event: ConsumedRecord, *more: str) -> Record:
    return Record(topic, None, b":".join([event.value or b"", *(text.encode() for text in more)]), ())


def reject(event: ConsumedRecord, failure: Failure) -> list[Record]:
    return [said("dead-letters", event, failure.stage, failure.code, failure.reason), said("answers", event, "failed")]


async def echo(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
    """Answers each event; rejects `rejected`."""
    return [Rejected("bad", "it is bad") if event.value == b"rejected" else [said("answers", event)] for event in batch]


def texts(records: Sequence[Record | ConsumedRecord]) -> list[str]:
    """Each record's topic and value."""
    topics = [record.topic if isinstance(record, Record) else record.origin.topic for record in records]
    return [f"{topic} {(record.value or b'').decode()}" for topic, record in zip(topics, records, strict=True)]


def has_value(value: bytes) -> Callable[[Record], bool]:
    return lambda record: record.value == value


async def test_every_event_is_answered_or_rejected() -> None:
    log = InMemoryLog()
    await DeliveryGuard("stage", echo, log.publish, reject).deliver(batch_of("a", "rejected", "b"))
    assert texts(log.records) == [
        "answers a",
        "dead-letters rejected:stage:bad:it is bad",
        "answers rejected:failed",
        "answers b",
    ]


async def test_an_empty_batch_is_delivered() -> None:
    log = InMemoryLog()
    await DeliveryGuard("stage", echo, log.publish, reject).deliver([])
    assert texts(log.attempts) == []


async def test_an_event_may_have_nothing_to_say() -> None:
    async def silent(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return [[] for _ in batch]

    log = InMemoryLog()
    await DeliveryGuard("stage", silent, log.publish, reject).deliver(batch_of("a"))
    assert texts(log.attempts) == []


async def test_nothing_returns_before_all_is_confirmed() -> None:
    log = InMemoryLog()
    log.pause()
    delivering = asyncio.create_task(DeliveryGuard("stage", echo, log.publish, reject).deliver(batch_of("a", "b")))
    await asyncio.sleep(0.02)
    assert not delivering.done()
    log.resume()
    await delivering


async def test_nothing_returns_while_one_record_is_not_confirmed() -> None:
    log = InMemoryLog()
    log.fail(OSError("down"), when=has_value(b"b"), times=None)
    delivering = asyncio.create_task(DeliveryGuard("stage", echo, log.publish, reject).deliver(batch_of("a", "b")))
    await asyncio.sleep(0.02)
    assert not delivering.done()
    assert texts(log.records) == ["answers a"]
    log.repair()
    await delivering
    assert texts(log.records) == ["answers a", "answers b"]


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_what_is_away_is_waited_for_any_number_of_times(count: int) -> None:
    away = iter(range(count))

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        for _ in away:
            raise Unavailable("MLServer is away")
        return await echo(batch)

    log = InMemoryLog()
    await DeliveryGuard("stage", handle, log.publish, reject).deliver(batch_of("a", "b"))
    assert texts(log.records) == ["answers a", "answers b"]


@given(st.lists(st.sampled_from(["good", "rejected", "bug", "away", "lost", "unpublishable"]), max_size=8))
@settings(deadline=None)
async def test_no_event_takes_its_neighbours_with_it(values: list[str]) -> None:
    missing = {"away"}

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        if any(event.value == b"bug" for event in batch):
            raise KeyError("bug")
        if any(event.value == b"away" for event in batch) and missing:
            raise Unavailable(missing.pop())
        return await echo(batch)

    log = InMemoryLog()
    log.fail(
        Unpublishable("too large"),
        when=lambda record: (record.topic, record.value) == ("answers", b"unpublishable"),
        times=None,
    )
    log.fail(OSError("the connection is lost"), when=has_value(b"lost"), times=2)
    await DeliveryGuard("stage", handle, log.publish, reject).deliver(batch_of(*values))
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
    assert sorted(texts(log.records)) == sorted(expected)


async def test_only_the_records_that_failed_are_published_again() -> None:
    log = InMemoryLog()
    log.fail(OSError("down"), when=has_value(b"b"), times=3)
    await DeliveryGuard("stage", echo, log.publish, reject).deliver(batch_of("a", "b", "c"))
    assert texts(log.attempts) == ["answers a", "answers b", "answers c", "answers b", "answers b", "answers b"]
    assert texts(log.records) == ["answers a", "answers c", "answers b"]


async def test_a_dead_letter_that_is_not_confirmed_is_published_again() -> None:
    log = InMemoryLog()
    log.fail(OSError("down"), when=has_value(b"rejected:stage:bad:it is bad"), times=3)
    await DeliveryGuard("stage", echo, log.publish, reject).deliver(batch_of("rejected"))
    assert texts(log.records) == ["answers rejected:failed", "dead-letters rejected:stage:bad:it is bad"]


async def test_an_answer_that_is_refused_waits_and_makes_no_more_dead_letters() -> None:
    log = InMemoryLog()
    log.fail(Unpublishable("too large"), when=has_value(b"rejected:failed"), times=5)
    await DeliveryGuard("stage", echo, log.publish, reject).deliver(batch_of("rejected"))
    assert texts(log.records) == ["dead-letters rejected:stage:bad:it is bad", "answers rejected:failed"]


async def test_the_handler_isnt_asked_again_for_what_was_only_not_published() -> None:
    asked = []

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        asked.append(len(batch))
        return await echo(batch)

    log = InMemoryLog()
    log.fail(OSError("down"), when=has_value(b"a"), times=3)
    await DeliveryGuard("stage", handle, log.publish, reject).deliver(batch_of("a", "b"))
    assert asked == [2]


async def test_a_wrong_number_of_answers_is_a_bug_of_the_handler() -> None:
    async def forgetful(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return (await echo(batch))[1:]

    log = InMemoryLog()
    await DeliveryGuard("stage", forgetful, log.publish, reject).deliver(batch_of("a", "b"))
    assert [text.split(":")[2] for text in texts(log.records) if text.startswith("dead")] == ["handler_error"] * 2


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

    delivering = asyncio.create_task(DeliveryGuard("stage", handle, publish, reject).deliver(batch_of("a", "b")))
    await started.wait()
    await asyncio.sleep(0)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering


def test_waits_double_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_MIN_BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(backoff, "_MAX_BACKOFF_SECONDS", 0.5)
    assert list(islice(backoff.backoff(), 5)) == [0.1, 0.2, 0.4, 0.5, 0.5]


async def test_an_event_of_the_platform_that_a_newer_release_wrote_waits_until_it_can_be_read() -> None:
    log, looks = InMemoryLog(), list[int]()

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        looks.append(len(batch))
        newer = Rejected("newer_version", "upgrade") if len(looks) < 3 else [said("answers", batch[1])]
        return [[said("answers", batch[0])], newer]

    await DeliveryGuard("stage", handle, log.publish, reject).deliver(batch_of("a", "b"))
    assert looks == [2, 2, 2]
    assert texts(log.records) == ["answers a", "answers b"]


@pytest.mark.parametrize("topic", ["letters.requests", "letters.feedback"])
async def test_an_event_of_an_application_in_a_newer_version_is_rejected(topic: str) -> None:
    log = InMemoryLog()
    [event] = batch_of("a")
    sent = replace(event, origin=replace(event.origin, topic=topic))

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return [Rejected("newer_version", "upgrade")]

    await DeliveryGuard("stage", handle, log.publish, reject).deliver([sent])
    assert texts(log.records) == ["dead-letters a:stage:newer_version:upgrade", "answers a:failed"]
