"""Traces: `traceparent` (W3C) goes from a request to its answer, and by OpenTelemetry's spans where they are wanted.

With HINDSIGHT_OTLP_ENDPOINT each process makes a span of what it does for an event, a child of the `traceparent` that
the event came with, or the root of a trace of its own; what it says of the event carries the span's. They are exported
by OTLP over HTTP. OpenTelemetry's own variables hold: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on.
Without the endpoint nothing of it is imported, and `traceparent` goes through as it came.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from app.events import topics
from app.events.cloudevents import Headers, Origin, Record
from app.settings import Settings
from models.base import Rejected

if TYPE_CHECKING:
    from opentelemetry.trace import Span

TRACEPARENT_HEADER = "traceparent"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_current_traceparent: ContextVar[str | None] = ContextVar("calling", default=None)
_EXPORT_TIMEOUT_SECONDS = 2
"""The longest that an export may take: a process that ends waits for its last one."""


def get_tracing(settings: Settings, process: str) -> "Tracing | None":
    """What makes this process's spans; None where nobody wants them."""
    return _create_tracing(settings.otlp_endpoint, process) if settings.otlp_endpoint else None


@cache
def _create_tracing(endpoint: str, process: str) -> "Tracing":
    return Tracing(endpoint, process)


class Tracing:
    """Makes and exports the spans of one process. Spans that can't be exported are dropped: nothing waits for them."""

    def __init__(self, endpoint: str, process: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": f"hindsight-{process}", "service.version": version("hindsight")})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_TIMEOUT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hindsight")
        self._format = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, parent: str | None, attributes: Mapping[str, Any]) -> Iterator["ActiveSpan"]:
        """A span while the block lasts. A `parent` that is no traceparent counts as none."""
        context = self._format.extract({TRACEPARENT_HEADER: parent} if parent else {})
        with self._tracer.start_as_current_span(name, context, attributes=attributes) as span:
            said: dict[str, str] = {}
            self._format.inject(said)
            yield ActiveSpan(span, said.get(TRACEPARENT_HEADER, parent))

    def flush(self) -> None:
        """Export what there is, for a moment at most."""
        self._provider.force_flush(_EXPORT_TIMEOUT_SECONDS * 1000)

    def close(self) -> None:
        """Export what there is, and end."""
        self._provider.shutdown()


class ActiveSpan:
    """A span that has begun, and the `traceparent` of what it leads to."""

    def __init__(self, span: "Span", traceparent: str | None) -> None:
        self._span = span
        self.traceparent = traceparent

    def fail(self, error: Rejected) -> None:
        """Note why nothing came of it."""
        from opentelemetry.trace import StatusCode

        self._span.set_status(StatusCode.ERROR, str(error))
        self._span.set_attribute("error.type", error.code)


def record_attributes(origin: Origin) -> dict[str, Any]:
    """A span's attributes: which record it is of, in the words of OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": origin.topic,
        "messaging.destination.partition.id": str(origin.partition),
        "messaging.kafka.offset": origin.offset,
    }


def valid_traceparent(traceparent: str | None) -> str | None:
    """What an HTTP request says, where it is a traceparent."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def with_traceparent(headers: Headers, traceparent: str | None) -> Headers:
    """These headers with that `traceparent`, if there is one: OTEL_SDK_DISABLED makes none."""
    if traceparent is None:
        return headers
    return (*(one for one in headers if one[0] != TRACEPARENT_HEADER), (TRACEPARENT_HEADER, traceparent.encode()))


def continue_trace(record: Record, span: ActiveSpan) -> Record:
    """The record as one that the span led to. A dead letter stays: its headers are the original's."""
    if record.topic == topics.DEAD_LETTERS:
        return record
    return replace(record, headers=with_traceparent(record.headers, span.traceparent))


def current_traceparent() -> str | None:
    """The `traceparent` of what is called now, in this task; None where it has none."""
    return _current_traceparent.get()


@contextmanager
def use_traceparent(traceparent: str | None) -> Iterator[None]:
    """What is called in this block is part of that."""
    token = _current_traceparent.set(traceparent)
    try:
        yield
    finally:
        _current_traceparent.reset(token)
