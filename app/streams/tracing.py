"""Spans of an agent's work on its events."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from app.events.cloudevents import ConsumedRecord, header_text
from app.streams.delivery import BatchHandler, HandlerResult, Rejection
from app.tracing import TRACEPARENT_HEADER, Tracing, record_attributes, use_traceparent, with_traceparent
from models.base import Rejected


def trace_handler(tracing: Tracing | None, name: str, handle: BatchHandler) -> BatchHandler:
    """Return the handler with a span for each event. Calls for a whole batch belong to the first event's span."""
    if tracing is None:
        return handle

    async def handle_in_spans(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        with ExitStack() as stack:
            spans = [
                stack.enter_context(
                    tracing.span(name, header_text(event.headers, TRACEPARENT_HEADER), record_attributes(event.origin))
                )
                for event in batch
            ]
            with use_traceparent(spans[0].traceparent if spans else None):
                results = await handle(
                    [
                        replace(event, headers=with_traceparent(event.headers, span.traceparent))
                        for event, span in zip(batch, spans, strict=True)
                    ]
                )
            for span, result in zip(spans, results, strict=True):
                if isinstance(result, Rejected | Rejection):
                    span.fail(result.error if isinstance(result, Rejection) else result)
        return results

    return handle_in_spans
