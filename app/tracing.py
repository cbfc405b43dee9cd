"""Distributed traces: W3C `traceparent` headers from a request to its answer, and optional OpenTelemetry spans.

With HINDSIGHT_OTLP_ENDPOINT each process records a span for its work on an event: a child of the event's `traceparent`,
or the root of a new trace. The records that it publishes carry the span's `traceparent`. Spans are exported by OTLP
over HTTP. OpenTelemetry's own variables apply: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on. Without the
endpoint OpenTelemetry is not imported, and `traceparent` headers are passed on unchanged.
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
_current_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_EXPORT_TIMEOUT_SECONDS = 2
"""Limit of an export: a process that ends waits for its last one."""


def get_tracing(settings: Settings, process: str) -> "Tracing | None":
    """Return the tracing of this process, or None without an endpoint."""
    return _create_tracing(settings.otlp_endpoint, process) if settings.otlp_endpoint else None


@cache
def _create_tracing(endpoint: str, process: str) -> "Tracing":
    return Tracing(endpoint, process)


class Tracing:
    """Recorder and exporter of one process's spans. A span that cannot be exported is dropped: nothing waits for it."""

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
        """Record a span for the duration of the block. An invalid `parent` is ignored."""
        context = self._format.extract({TRACEPARENT_HEADER: parent} if parent else {})
        with self._tracer.start_as_current_span(name, context, attributes=attributes) as span:
            carrier: dict[str, str] = {}
            self._format.inject(carrier)
            yield ActiveSpan(span, carrier.get(TRACEPARENT_HEADER, parent))

    def flush(self) -> None:
        """Export the recorded spans, within the limit of an export."""
        self._provider.force_flush(_EXPORT_TIMEOUT_SECONDS * 1000)

    def close(self) -> None:
        """Export the recorded spans, and shut down."""
        self._provider.shutdown()


class ActiveSpan:
    """A span in progress, and the `traceparent` of its children."""

    def __init__(self, span: "Span", traceparent: str | None) -> None:
        self._span = span
        self.traceparent = traceparent

    def fail(self, error: Rejected) -> None:
        """Record that the work failed, with the reason."""
        from opentelemetry.trace import StatusCode

        self._span.set_status(StatusCode.ERROR, str(error))
        self._span.set_attribute("error.type", error.code)


def record_attributes(origin: Origin) -> dict[str, Any]:
    """Return the attributes of a record's span, by OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": origin.topic,
        "messaging.destination.partition.id": str(origin.partition),
        "messaging.kafka.offset": origin.offset,
    }


def valid_traceparent(traceparent: str | None) -> str | None:
    """Return the header of an HTTP request if it is valid, otherwise None."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def with_traceparent(headers: Headers, traceparent: str | None) -> Headers:
    """Return the headers with this `traceparent`, or unchanged if it is None, as with OTEL_SDK_DISABLED."""
    if traceparent is None:
        return headers
    others = (header for header in headers if header[0] != TRACEPARENT_HEADER)
    return (*others, (TRACEPARENT_HEADER, traceparent.encode()))


def continue_trace(record: Record, span: ActiveSpan) -> Record:
    """Return the record as a child of the span. A dead letter is unchanged: its headers are the original's."""
    if record.topic == topics.DEAD_LETTERS:
        return record
    return replace(record, headers=with_traceparent(record.headers, span.traceparent))


def current_traceparent() -> str | None:
    """Return the `traceparent` that applies in this asyncio task, or None."""
    return _current_traceparent.get()


@contextmanager
def use_traceparent(traceparent: str | None) -> Iterator[None]:
    """Make calls in this block part of this trace."""
    token = _current_traceparent.set(traceparent)
    try:
        yield
    finally:
        _current_traceparent.reset(token)
