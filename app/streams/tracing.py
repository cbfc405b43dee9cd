"""Spans of what an agent does for its events."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from app.events.cloudevents import Incoming, header
from app.streams.delivery import Answer, Handle, Rejection
from app.tracing import HEADER, Tracing, called_by, carrying, place
from models.base import Rejected


def traced(tracing: Tracing | None, name: str, handle: Handle) -> Handle:
    """The same, with a span for each event. What is called for a whole batch belongs to the first event's span."""
    if tracing is None:
        return handle

    async def handled(batch: Sequence[Incoming]) -> Sequence[Answer]:
        with ExitStack() as stack:
            spans = [
                stack.enter_context(tracing.span(name, header(one.headers, HEADER), place(one.origin))) for one in batch
            ]
            with called_by(spans[0].traceparent if spans else None):
                answers = await handle(
                    [
                        replace(one, headers=carrying(one.headers, span.traceparent))
                        for one, span in zip(batch, spans, strict=True)
                    ]
                )
            for span, answer in zip(spans, answers, strict=True):
                if isinstance(answer, Rejected | Rejection):
                    span.fail(answer.error if isinstance(answer, Rejection) else answer)
        return answers

    return handled
