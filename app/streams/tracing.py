"""Spans of what an agent does for its events."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from app.events.cloudevents import ConsumedRecord, header_text
from app.streams.delivery import BatchHandler, HandlerResult, Rejection
from app.tracing import TRACEPARENT_HEADER, Tracing, record_attributes, use_traceparent, with_traceparent
from models.base import Rejected


def trace_handler(tracing: Tracing | None, name: str, handle: BatchHandler) -> BatchHandler:
    """The same, with a span for each event. What is called for a whole batch belongs to the first event's span."""
    if tracing is None:
        return handle

    async def handled(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        with ExitStack() as stack:
            spans = [
                stack.enter_context(
                    tracing.span(name, header_text(one.headers, TRACEPARENT_HEADER), record_attributes(one.origin))
                )
                for one in batch
            ]
            with use_traceparent(spans[0].traceparent if spans else None):
                answers = await handle(
                    [
                        replace(one, headers=with_traceparent(one.headers, span.traceparent))
                        for one, span in zip(batch, spans, strict=True)
                    ]
                )
            for span, answer in zip(spans, answers, strict=True):
                if isinstance(answer, Rejected | Rejection):
                    span.fail(answer.error if isinstance(answer, Rejection) else answer)
        return answers

    return handled
