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
from app.events.cloudevents import ConsumedRecord, Record
from app.events.types import Failure
from app.monitoring.heartbeat import clear_wait, report_wait
from models.base import Rejected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejection:
    """An event that its handler rejects with records of its own, because it knows more than the guard's `reject`."""

    error: Rejected
    records: Sequence[Record]


HandlerResult = Sequence[Record] | Rejected | Rejection
"""The records that answer an event, or why there are none: as an error, the guard's `reject` makes the records."""
BatchHandler = Callable[[Sequence[ConsumedRecord]], Awaitable[Sequence[HandlerResult]]]
BatchPublisher = Callable[[Sequence[Record]], Awaitable[Sequence[Exception | None]]]
"""Publishes all, and returns for each None once it is confirmed, or why it is not."""
RejectionBuilder = Callable[[ConsumedRecord, Failure], Sequence[Record]]


class DeliveryGuard:
    """Delivers batches for one agent. `reject` makes the dead letter of an event and its answer."""

    def __init__(self, stage: str, handle: BatchHandler, publish: BatchPublisher, reject: RejectionBuilder) -> None:
        self._stage = stage
        self._handle = handle
        self._publish = publish
        self._reject = reject

    async def deliver(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Return the answers to the batch once the broker has confirmed all their records: then ack it."""
        answers = await self._handle_batch(batch)
        pending: list[_PendingRecord] = []
        for event, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Rejected):
                pending += self._build_rejection(event, answer)
            elif isinstance(answer, Rejection):
                pending += [_PendingRecord(event, record, is_rejection=True) for record in answer.records]
            else:
                pending += [_PendingRecord(event, record, is_rejection=False) for record in answer]
        await self._publish_until_confirmed(pending)
        return answers

    async def _handle_batch(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        waits = backoff()
        while True:
            try:
                answers = await self._handle(batch)
                clear_wait(batch[0].origin.topic)
                if len(answers) != len(batch):
                    raise ValueError(f"{len(answers)} answers to {len(batch)} events")
                return answers
            except Unavailable as error:
                wait = next(waits)
                log.warning("%s: %d events wait %.1f s: %s", self._stage, len(batch), wait, error)
                report_wait(batch[0].origin.topic, str(error))
                await asyncio.sleep(wait)
            except Exception as error:  # a fault in our own code, or in a task's: find whose event it is
                if len(batch) == 1:
                    log.exception("%s: event %s can't be handled", self._stage, batch[0].origin.id)
                    return [Rejected("handler_error", f"{type(error).__name__}: {error}")]
                return [answer for event in batch for answer in await self._handle_batch([event])]

    async def _publish_until_confirmed(self, pending: Sequence["_PendingRecord"]) -> None:
        waits = backoff()
        while pending:
            errors = await self._publish([one.record for one in pending])
            failed = [(one, error) for one, error in zip(pending, errors, strict=True) if error is not None]
            pending = [again for one, error in failed for again in self._retry_or_reject(one, error)]
            if failed:
                wait = next(waits)
                log.warning("%s: %d records wait %.1f s: %s", self._stage, len(pending), wait, failed[0][1])
                await asyncio.sleep(wait)

    def _retry_or_reject(self, one: "_PendingRecord", error: Exception) -> Sequence["_PendingRecord"]:
        """What to publish in place of a record that failed. A rejection is never rejected: it waits to be taken."""
        if isinstance(error, Unpublishable) and not one.is_rejection:
            reason = f"the broker refuses the record for {one.record.topic}: {error}"
            return self._build_rejection(one.event, Rejected("unpublishable", reason))
        return [one]

    def _build_rejection(self, event: ConsumedRecord, error: Rejected) -> Sequence["_PendingRecord"]:
        failure = Failure(stage=self._stage, code=error.code, reason=str(error))
        return [_PendingRecord(event, record, is_rejection=True) for record in self._reject(event, failure)]


@dataclass(frozen=True)
class _PendingRecord:
    """A record that is not in the log yet, and the event that it is of."""

    event: ConsumedRecord
    record: Record
    is_rejection: bool
