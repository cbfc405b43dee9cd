"""The log in memory fails as it is told, and delivers at least once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from app.errors import Unconfirmed, Unpublishable
from app.events.cloudevents import ConsumedRecord, Record
from app.testing import Crash, InMemoryLog, ManualClock


def record(value: bytes, topic: str = "topic") -> Record:
    return Record(topic, None, value, ())


def values(records: Sequence[Record | ConsumedRecord]) -> list[bytes | None]:
    return [item.value for item in records]


class Consumer:
    """Remembers its batches. Crashes at the values in `crashes`, once at each."""

    def __init__(self, *crashes: bytes) -> None:
        self.crashes = set(crashes)
        self.batches: list[list[bytes | None]] = []

    async def __call__(self, batch: Sequence[ConsumedRecord]) -> None:
        self.batches.append(values(batch))
        if crashes := self.crashes & set(values(batch)):
            self.crashes -= crashes
            raise Crash


async def test_published_records_are_read_by_topic_in_order_with_their_offsets_and_times() -> None:
    clock = ManualClock()
    log = InMemoryLog(clock)
    assert await log.publish([record(b"a"), record(b"x", "other")]) == [None, None]
    clock.advance(90)
    await log.publish([record(b"b")])
    assert values(log.read("topic")) == [b"a", b"b"]
    assert values(log.records) == [b"a", b"x", b"b"]
    origins = [consumed.origin for consumed in log.read("topic")]
    assert [origin.offset for origin in origins] == [0, 1]
    assert origins[1].timestamp_ms - origins[0].timestamp_ms == timedelta(seconds=90) / timedelta(milliseconds=1)
    assert len({consumed.origin.id for consumed in log.records}) == 3


@pytest.mark.parametrize("error", [OSError("lost"), Unpublishable("too large")], ids=str)
async def test_a_record_that_is_lost_or_refused_is_not_in_the_log(error: Exception) -> None:
    log = InMemoryLog()
    log.fail(error)
    assert await log.publish([record(b"a")]) == [error]
    assert (values(log.attempts), log.records) == ([b"a"], [])


async def test_an_unconfirmed_record_is_in_the_log() -> None:
    log, error = InMemoryLog(), Unconfirmed("too late")
    log.fail(error)
    assert await log.publish([record(b"a")]) == [error]
    assert values(log.records) == [b"a"]


async def test_a_fault_skips_records_and_ends_after_its_times() -> None:
    log, error = InMemoryLog(), OSError("lost")
    log.fail(error, when=lambda record: record.value == b"a", skip=1, times=2)
    errors = await log.publish([record(value) for value in (b"a", b"b", b"a", b"b", b"a", b"a")])
    assert errors == [None, None, error, None, error, None]


async def test_a_fault_without_an_end_lasts_until_the_repair() -> None:
    log, error = InMemoryLog(), OSError("lost")
    log.fail(error, times=None)
    assert await log.publish([record(b"a")] * 3) == [error] * 3
    log.repair()
    assert await log.publish([record(b"a")]) == [None]


async def test_a_crash_keeps_the_records_before_it_and_passes_every_handler_of_exceptions() -> None:
    log = InMemoryLog()
    log.fail(Crash(), skip=1)
    with pytest.raises(Crash):
        try:
            await log.publish([record(b"a"), record(b"b"), record(b"c")])
        except Exception:
            pytest.fail("an `except Exception` caught the crash")
    assert values(log.records) == [b"a"]


async def test_a_paused_publish_waits_until_the_log_resumes() -> None:
    log = InMemoryLog()
    log.pause()
    publishing = asyncio.create_task(log.publish([record(b"a")]))
    await asyncio.sleep(0.02)
    assert (publishing.done(), log.attempts) == (False, [])
    log.resume()
    assert await publishing == [None]


async def test_a_batch_is_delivered_again_after_a_crash() -> None:
    log, consumer = InMemoryLog(), Consumer(b"c")
    for value in (b"a", b"b", b"c"):
        log.append(record(value))
    with pytest.raises(Crash):
        await log.consume("topic", consumer, batch_size=2)
    await log.consume("topic", consumer, batch_size=2)
    assert consumer.batches == [[b"a", b"b"], [b"c"], [b"c"]]


async def test_records_are_delivered_once_unless_the_log_is_rewound() -> None:
    log, consumer = InMemoryLog(), Consumer()
    log.append(record(b"a"))
    await log.consume("topic", consumer)
    log.append(record(b"b"))
    await log.consume("topic", consumer)
    assert consumer.batches == [[b"a"], [b"b"]]
    log.rewind("topic", 1)
    await log.consume("topic", consumer)
    assert consumer.batches[2:] == [[b"b"]]
