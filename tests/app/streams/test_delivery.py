import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import backoff
from app.errors import Unavailable, Unpublishable
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.events.types import Failure
from app.streams.delivery import DeliveryGuard, HandlerResult
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


class Log:
    """What was published, in order. `fails` says why a record isn't taken this time."""

    def __init__(self, fails: Callable[[Record], Exception | None] = lambda _: None) -> None:
        self.fails = fails
        self.tried: list[str] = []
        self.taken: list[str] = []

    async def __call__(self, records: Sequence[Record]) -> list[Exception | None]:
        errors = [self.fails(record) for record in records]
        texts = [f"{record.topic} {(record.value or b'').decode()}" for record in records]
        self.tried += texts
        self.taken += [text for text, error in zip(texts, errors, strict=True) if error is None]
        return errors


def times(count: int, error: Exception, value: bytes) -> Callable[[Record], Exception | None]:
    """The error, the first so many times that a record with this value comes."""
    left = [count]

    def fails(record: Record) -> Exception | None:
        if record.value != value or not left[0]:
            return None
        left[0] -= 1
        return error

    return fails


async def test_every_event_is_answered_or_rejected() -> None:
    log = Log()
    await DeliveryGuard("stage", echo, log, reject).deliver(batch_of("a", "rejected", "b"))
    assert log.taken == [
        "answers a",
        "dead-letters rejected:stage:bad:it is bad",
        "answers rejected:failed",
        "answers b",
    ]


async def test_an_empty_batch_is_delivered() -> None:
    log = Log()
    await DeliveryGuard("stage", echo, log, reject).deliver([])
    assert log.tried == []


async def test_an_event_may_have_nothing_to_say() -> None:
    async def silent(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return [[] for _ in batch]

    log = Log()
    await DeliveryGuard("stage", silent, log, reject).deliver(batch_of("a"))
    assert log.tried == []


async def test_nothing_returns_before_all_is_confirmed() -> None:
    confirmed = asyncio.Event()

    async def publish(records: Sequence[Record]) -> list[Exception | None]:
        await confirmed.wait()
        return [None for _ in records]

    delivering = asyncio.create_task(DeliveryGuard("stage", echo, publish, reject).deliver(batch_of("a", "b")))
    await asyncio.sleep(0.02)
    assert not delivering.done()
    confirmed.set()
    await delivering


async def test_nothing_returns_while_one_record_is_not_confirmed() -> None:
    broker = {"down": True}
    log = Log(lambda record: OSError("down") if broker["down"] and record.value == b"b" else None)
    delivering = asyncio.create_task(DeliveryGuard("stage", echo, log, reject).deliver(batch_of("a", "b")))
    await asyncio.sleep(0.02)
    assert not delivering.done()
    assert log.taken == ["answers a"]
    broker["down"] = False
    await delivering
    assert log.taken == ["answers a", "answers b"]


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_what_is_away_is_waited_for_any_number_of_times(count: int) -> None:
    away = iter(range(count))

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        for _ in away:
            raise Unavailable("MLServer is away")
        return await echo(batch)

    log = Log()
    await DeliveryGuard("stage", handle, log, reject).deliver(batch_of("a", "b"))
    assert log.taken == ["answers a", "answers b"]


@given(st.lists(st.sampled_from(["good", "rejected", "bug", "away", "lost", "unpublishable"]), max_size=8))
@settings(deadline=None)
async def test_no_event_takes_its_neighbours_with_it(values: list[str]) -> None:
    missing, losses = {"away"}, [2]

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        if any(event.value == b"bug" for event in batch):
            raise KeyError("bug")
        if any(event.value == b"away" for event in batch) and missing:
            raise Unavailable(missing.pop())
        return await echo(batch)

    def fails(record: Record) -> Exception | None:
        if record.topic == "answers" and record.value == b"unpublishable":
            return Unpublishable("too large")
        if record.value == b"lost" and losses[0]:
            losses[0] -= 1
            return OSError("the connection is lost")
        return None

    log = Log(fails)
    await DeliveryGuard("stage", handle, log, reject).deliver(batch_of(*values))
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
    assert sorted(log.taken) == sorted(expected)


async def test_only_the_records_that_failed_are_published_again() -> None:
    log = Log(times(3, OSError("down"), b"b"))
    await DeliveryGuard("stage", echo, log, reject).deliver(batch_of("a", "b", "c"))
    assert log.tried == ["answers a", "answers b", "answers c", "answers b", "answers b", "answers b"]
    assert log.taken == ["answers a", "answers c", "answers b"]


async def test_a_dead_letter_that_is_not_confirmed_is_published_again() -> None:
    log = Log(times(3, OSError("down"), b"rejected:stage:bad:it is bad"))
    await DeliveryGuard("stage", echo, log, reject).deliver(batch_of("rejected"))
    assert log.taken == ["answers rejected:failed", "dead-letters rejected:stage:bad:it is bad"]


async def test_an_answer_that_is_refused_waits_and_makes_no_more_dead_letters() -> None:
    log = Log(times(5, Unpublishable("too large"), b"rejected:failed"))
    await DeliveryGuard("stage", echo, log, reject).deliver(batch_of("rejected"))
    assert log.taken == ["dead-letters rejected:stage:bad:it is bad", "answers rejected:failed"]


async def test_the_handler_isnt_asked_again_for_what_was_only_not_published() -> None:
    asked = []

    async def handle(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        asked.append(len(batch))
        return await echo(batch)

    await DeliveryGuard("stage", handle, Log(times(3, OSError("down"), b"a")), reject).deliver(batch_of("a", "b"))
    assert asked == [2]


async def test_a_wrong_number_of_answers_is_a_bug_of_the_handler() -> None:
    async def forgetful(batch: Sequence[ConsumedRecord]) -> list[HandlerResult]:
        return (await echo(batch))[1:]

    log = Log()
    await DeliveryGuard("stage", forgetful, log, reject).deliver(batch_of("a", "b"))
    assert [text.split(":")[2] for text in log.taken if text.startswith("dead")] == ["handler_error"] * 2


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
