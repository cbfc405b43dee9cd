"""At-least-once delivery, for every agent: handle, publish, and only then acknowledge.

1. Handle the batch: each event becomes the records that answer it, or is rejected with a reason.
2. Publish every record, and wait until the broker has confirmed each.
3. Return: only now may the batch be acknowledged.

A dependency that is away is waited for without a limit: nothing is dropped, and events queue in the log. An event that
cannot be processed is in `dead-letters`, with its reason, before its acknowledgement. A bad event never affects its
neighbours. An event of the platform that a newer release wrote is not bad: it waits until this process is upgraded.
After a crash the batch is redelivered, and ids de-duplicate. The protocol is that of Quix Streams' checkpoints and
Redpanda Connect's acknowledgements.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.backoff import backoff
from app.errors import Unavailable, Unpublishable
from app.events import topics
from app.events.cloudevents import NEWER_VERSION, ConsumedRecord, Record
from app.events.types import Failure
from app.monitoring.heartbeat import clear_wait, report_wait
from models.base import Rejected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejection:
    """Rejection of an event with the handler's own records, in place of those that the guard's `reject` builds."""

    error: Rejected
    records: Sequence[Record]


HandlerResult = Sequence[Record] | Rejected | Rejection
"""The records that answer an event, or its rejection. The guard's `reject` builds the records of a `Rejected`."""
BatchHandler = Callable[[Sequence[ConsumedRecord]], Awaitable[Sequence[HandlerResult]]]
BatchPublisher = Callable[[Sequence[Record]], Awaitable[Sequence[Exception | None]]]
"""Publishes all records. Returns for each None if it is confirmed, or the error."""
RejectionBuilder = Callable[[ConsumedRecord, Failure], Sequence[Record]]


class DeliveryGuard:
    """Delivery of one agent's batches. `reject` builds the dead letter of an event, and its answer."""

    def __init__(self, stage: str, handle: BatchHandler, publish: BatchPublisher, reject: RejectionBuilder) -> None:
        self._stage = stage
        self._handle = handle
        self._publish = publish
        self._reject = reject

    async def deliver(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Return the results of the batch once the broker has confirmed all their records. Then acknowledge it."""
        results = await self._handle_batch(batch)
        pending: list[_PendingRecord] = []
        for event, result in zip(batch, results, strict=True):
            if isinstance(result, Rejected):
                pending += self._build_rejection(event, result)
            elif isinstance(result, Rejection):
                pending += [_PendingRecord(event, record, is_rejection=True) for record in result.records]
            else:
                pending += [_PendingRecord(event, record, is_rejection=False) for record in result]
        await self._publish_until_confirmed(pending)
        return results

    async def _handle_batch(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        waits = backoff()
        while True:
            try:
                results = await self._handle(batch)
                if len(results) != len(batch):
                    raise ValueError(f"{len(results)} results for {len(batch)} events")
                _require_readable(batch, results)
                clear_wait(batch[0].origin.topic)
                return results
            except Unavailable as error:
                wait = next(waits)
                log.warning("%s: %d events wait %.1f s: %s", self._stage, len(batch), wait, error)
                report_wait(batch[0].origin.topic, str(error))
                await asyncio.sleep(wait)
            except Exception as error:  # a fault in our code or in a task's: find the event that causes it
                if len(batch) == 1:
                    log.exception("%s: event %s cannot be handled", self._stage, batch[0].origin.id)
                    return [Rejected("handler_error", f"{type(error).__name__}: {error}")]
                return [result for event in batch for result in await self._handle_batch([event])]

    async def _publish_until_confirmed(self, pending: Sequence["_PendingRecord"]) -> None:
        waits = backoff()
        while pending:
            errors = await self._publish([item.record for item in pending])
            failed = [(item, error) for item, error in zip(pending, errors, strict=True) if error is not None]
            pending = [next_item for item, error in failed for next_item in self._retry_or_reject(item, error)]
            if failed:
                wait = next(waits)
                log.warning("%s: %d records wait %.1f s: %s", self._stage, len(pending), wait, failed[0][1])
                await asyncio.sleep(wait)

    def _retry_or_reject(self, item: "_PendingRecord", error: Exception) -> Sequence["_PendingRecord"]:
        """Return what to publish in place of a failed record. A rejection is not rejected again: it is retried."""
        if isinstance(error, Unpublishable) and not item.is_rejection:
            reason = f"the broker refuses the record for {item.record.topic}: {error}"
            return self._build_rejection(item.event, Rejected("unpublishable", reason))
        return [item]

    def _build_rejection(self, event: ConsumedRecord, error: Rejected) -> Sequence["_PendingRecord"]:
        failure = Failure(stage=self._stage, code=error.code, reason=str(error))
        return [_PendingRecord(event, record, is_rejection=True) for record in self._reject(event, failure)]


def _require_readable(batch: Sequence[ConsumedRecord], results: Sequence[HandlerResult]) -> None:
    """Raise `Unavailable` for an event that a newer release of the platform wrote: an upgrade can read it."""
    for event, result in zip(batch, results, strict=True):
        error = result.error if isinstance(result, Rejection) else result
        is_newer = isinstance(error, Rejected) and error.code == NEWER_VERSION
        if is_newer and not topics.is_written_by_applications(event.origin.topic):
            raise Unavailable(f"{event.origin.position}: {error}")


@dataclass(frozen=True)
class _PendingRecord:
    """A record that is not confirmed yet, and the event from which it was made."""

    event: ConsumedRecord
    record: Record
    is_rejection: bool
