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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.backoff import backoff
from app.errors import Unavailable, Unpublishable
from app.events.cloudevents import Incoming, Record
from app.events.types import Failure
from app.monitoring.heartbeat import waits_for, waits_no_more
from models.base import Rejected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejection:
    """An event that its handler rejects with records of its own, because it knows more than the guard's `reject`."""

    error: Rejected
    records: Sequence[Record]


Answer = Sequence[Record] | Rejected | Rejection
"""The records that answer an event, or why there are none: as an error, the guard's `reject` makes the records."""
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

    async def deliver(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        """Return the answers to the batch once the broker has confirmed all their records: then ack it."""
        answers = await self._handled(batch)
        pending: list[_Pending] = []
        for event, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Rejected):
                pending += self._rejected(event, answer)
            elif isinstance(answer, Rejection):
                pending += [_Pending(event, record, rejection=True) for record in answer.records]
            else:
                pending += [_Pending(event, record, rejection=False) for record in answer]
        await self._confirmed(pending)
        return answers

    async def _handled(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        waits = backoff()
        while True:
            try:
                answers = await self._handle(batch)
                waits_no_more(batch[0].origin.topic)
                if len(answers) != len(batch):
                    raise ValueError(f"{len(answers)} answers to {len(batch)} events")
                return answers
            except Unavailable as error:
                wait = next(waits)
                log.warning("%s: %d events wait %.1f s: %s", self._stage, len(batch), wait, error)
                waits_for(batch[0].origin.topic, str(error))
                await asyncio.sleep(wait)
            except Exception as error:  # a fault in our own code, or in a task's: find whose event it is
                if len(batch) == 1:
                    log.exception("%s: event %s can't be handled", self._stage, batch[0].origin.id)
                    return [Rejected("handler_error", f"{type(error).__name__}: {error}")]
                return [answer for event in batch for answer in await self._handled([event])]

    async def _confirmed(self, pending: Sequence["_Pending"]) -> None:
        waits = backoff()
        while pending:
            errors = await self._publish([one.record for one in pending])
            failed = [(one, error) for one, error in zip(pending, errors, strict=True) if error is not None]
            pending = [again for one, error in failed for again in self._again(one, error)]
            if failed:
                wait = next(waits)
                log.warning("%s: %d records wait %.1f s: %s", self._stage, len(pending), wait, failed[0][1])
                await asyncio.sleep(wait)

    def _again(self, one: "_Pending", error: Exception) -> Sequence["_Pending"]:
        """What to publish in place of a record that failed. A rejection is never rejected: it waits to be taken."""
        if isinstance(error, Unpublishable) and not one.rejection:
            reason = f"the broker refuses the record for {one.record.topic}: {error}"
            return self._rejected(one.event, Rejected("unpublishable", reason))
        return [one]

    def _rejected(self, event: Incoming, error: Rejected) -> Sequence["_Pending"]:
        failure = Failure(stage=self._stage, code=error.code, reason=str(error))
        return [_Pending(event, record, rejection=True) for record in self._reject(event, failure)]


@dataclass(frozen=True)
class _Pending:
    """A record that is not in the log yet, and the event that it is of."""

    event: Incoming
    record: Record
    rejection: bool
