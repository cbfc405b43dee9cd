"""A log in memory, in place of a broker: topics of one partition, a committed offset for each, and faults on demand."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import Unconfirmed
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId


class Crash(BaseException):
    """The process ends at this publish. `except Exception` does not catch it, as nothing catches a `kill -9`."""


@dataclass
class _Fault:
    error: BaseException
    matches: Callable[[Record], bool]
    skip: int
    times: int | None

    def next_error(self, record: Record) -> BaseException | None:
        if self.times == 0 or not self.matches(record):
            return None
        if self.skip:
            self.skip -= 1
            return None
        if self.times is not None:
            self.times -= 1
        return self.error


class InMemoryLog:
    """Records by topic. `publish` is a `BatchPublisher` for the delivery guard, `consume` delivers at least once.

    `records` are those that were accepted, `attempts` all that were published, both in order. `clock` gives their time.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.records: list[ConsumedRecord] = []
        self.attempts: list[Record] = []
        self._clock = clock
        self._topics: dict[str, list[ConsumedRecord]] = defaultdict(list)
        self._committed: dict[str, int] = defaultdict(int)
        self._faults: list[_Fault] = []
        self._running = asyncio.Event()
        self._running.set()

    def fail(
        self,
        error: BaseException,
        *,
        when: Callable[[Record], bool] = lambda record: True,
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Fail to publish records that match: after `skip` of them, and `times` of them (None: until `repair`).

        `Unpublishable` refuses a record, `OSError` loses it, `Unconfirmed` loses only its confirmation: it is in the
        log. `Crash` is raised out of `publish`: the records before it are in the log.
        """
        self._faults.append(_Fault(error, when, skip, times))

    def repair(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def pause(self) -> None:
        """Let each publish wait until `resume`."""
        self._running.clear()

    def resume(self) -> None:
        """Continue with each publish that waits."""
        self._running.set()

    async def publish(self, records: Sequence[Record]) -> Sequence[Exception | None]:
        """Append the records; return for each None, or the error of its fault."""
        await self._running.wait()
        return [self._publish_record(record) for record in records]

    def _publish_record(self, record: Record) -> Exception | None:
        self.attempts.append(record)
        error = next((error for fault in self._faults if (error := fault.next_error(record))), None)
        if error is not None and not isinstance(error, Exception):
            raise error
        if error is None or isinstance(error, Unconfirmed):
            self.append(record)
        return error

    def append(self, record: Record) -> ConsumedRecord:
        """Append a record, whatever the faults, and return it as it is consumed."""
        topic = self._topics[record.topic]
        timestamp_ms = round(self._clock().timestamp() * 1000)
        origin = Origin(TopicId(f"memory/{record.topic}"), record.topic, 0, len(topic), timestamp_ms)
        consumed = ConsumedRecord(origin, record.key, record.value, record.headers)
        topic.append(consumed)
        self.records.append(consumed)
        return consumed

    def read(self, topic: str) -> list[ConsumedRecord]:
        """Return the records of a topic."""
        return list(self._topics[topic])

    async def consume(
        self, topic: str, deliver: Callable[[Sequence[ConsumedRecord]], Awaitable[object]], batch_size: int = 64
    ) -> None:
        """Deliver the records of a topic from its committed offset on, and commit each batch after its delivery.

        After a `Crash`, the next call delivers the same batch again.
        """
        while batch := self._topics[topic][self._committed[topic] :][:batch_size]:
            await deliver(batch)
            self._committed[topic] += len(batch)

    def rewind(self, topic: str, offset: int = 0) -> None:
        """Set the committed offset back: `consume` delivers the records from there on again."""
        self._committed[topic] = offset
