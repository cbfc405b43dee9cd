"""The one guard that every agent runs in: decode, handle, publish, and only then ack.

1. handle the batch: each event becomes the records that answer it, or is rejected with a reason
2. publish every record, and wait until the broker has confirmed each
3. return: now, and only now, the batch may be acked

What is away is waited for, for ever: nothing is dropped, and events queue in the log. What can't be processed is in
`dead-letters` with its reason before its ack. One bad event never takes its neighbours with it. A crash anywhere
redelivers the batch; ids de-duplicate. The protocol is that of Quix Streams' checkpoints and Redpanda Connect's acks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from app.events import Failure, Headers, Origin, Record
from models.base import Rejected

log = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 5.0


class Unavailable(Exception):
    """Something that is needed is away; it may come back."""


class Unpublishable(Exception):
    """The broker will never take this record."""


@dataclass(frozen=True)
class Incoming:
    """A record as it was consumed."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers


Answer = Sequence[Record] | Rejected
Handle = Callable[[Sequence[Incoming]], Awaitable[Sequence[Answer]]]
Publish = Callable[[Sequence[Record]], Awaitable[Sequence[Exception | None]]]
"""Publishes all, and returns for each None once it is confirmed, or why it is not."""
Reject = Callable[[Incoming, Failure], Sequence[Record]]


class Guard:
    """Delivers batches for one agent. `reject` makes the dead letter of an event and its answer."""

    def __init__(self, stage: str, handle: Handle, publish: Publish, reject: Reject) -> None:
        self._stage = stage
        self._handle = handle
        self._publish = publish
        self._reject = reject

    async def deliver(self, batch: Sequence[Incoming]) -> None:
        """Return once everything that the batch has to say is confirmed by the broker: then ack it."""
        answers = await self._handled(batch)
        records = [
            self._rejected(event, answer) if isinstance(answer, Rejected) else answer
            for event, answer in zip(batch, answers, strict=True)
        ]
        await self._confirmed(batch, records)

    async def _handled(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        waits = backoff()
        while True:
            try:
                return await self._handle(batch)
            except Unavailable as error:
                wait = next(waits)
                log.warning("%s: %d events wait %.1f s: %s", self._stage, len(batch), wait, error)
                await asyncio.sleep(wait)
            except Exception as error:  # a fault in our own code, or in a task's: find whose event it is
                if len(batch) == 1:
                    log.exception("%s: event %s can't be handled", self._stage, batch[0].origin.id)
                    return [Rejected("handler_error", f"{type(error).__name__}: {error}")]
                return [answer for event in batch for answer in await self._handled([event])]

    async def _confirmed(self, batch: Sequence[Incoming], answers: Sequence[Sequence[Record]]) -> None:
        pending = [(event, record) for event, records in zip(batch, answers, strict=True) for record in records]
        waits = backoff()
        while pending:
            errors = await self._publish([record for _, record in pending])
            failed = [(*item, error) for item, error in zip(pending, errors, strict=True) if error is not None]
            pending = []
            for event, record, error in failed:
                if isinstance(error, Unpublishable):
                    refusal = Rejected("unpublishable", f"the broker refuses the record for {record.topic}: {error}")
                    pending += [(event, answer) for answer in self._rejected(event, refusal)]
                else:
                    pending.append((event, record))
            if failed:
                wait = next(waits)
                log.warning("%s: %d records wait %.1f s: %s", self._stage, len(pending), wait, failed[0][2])
                await asyncio.sleep(wait)

    def _rejected(self, event: Incoming, error: Rejected) -> Sequence[Record]:
        return self._reject(event, Failure(stage=self._stage, code=error.code, reason=str(error)))


def backoff() -> Iterator[float]:
    """Seconds to wait before each further try: doubling, up to a bound, for ever."""
    wait = _FIRST_BACKOFF
    while True:
        yield wait
        wait = min(2 * wait, _LONGEST_BACKOFF)
