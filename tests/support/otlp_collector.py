"""An OpenTelemetry collector that accepts spans by OTLP over HTTP, and keeps them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ExportedSpan:
    """An exported span."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, str | int]

    def is_parent_in(self, traceparent: str | None) -> bool:
        """Return whether this is the parent of a span with this `traceparent`; its flags are not exported."""
        return traceparent is not None and traceparent.startswith(f"00-{self.trace}-{self.id}-")


class Collector:
    """The spans that were exported to a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[ExportedSpan] = []

    def receive(self, body: bytes) -> None:
        """Keep the spans of an export."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            [service] = [
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            ]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {
                    attribute.key: attribute.value.string_value or attribute.value.int_value
                    for attribute in span.attributes
                }
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(ExportedSpan(service, span.name, *ids, span.status.code == 2, attributes))

    async def wait_for(
        self, condition: Callable[[list[ExportedSpan]], bool], seconds: float = 30
    ) -> list[ExportedSpan]:
        """Wait until the condition holds, and return all spans. Exports come every few seconds."""
        async with asyncio.timeout(seconds):
            while not condition(self.spans):
                await asyncio.sleep(0.1)
        return list(self.spans)


@contextmanager
def run_collector() -> Iterator[Collector]:
    """Run a collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.receive(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
