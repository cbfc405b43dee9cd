"""Preprocessing with a span for each request."""

from dataclasses import dataclass, replace

from app import tracing
from app.events.cloudevents import Headers, Origin, header_text
from app.preprocess.preprocessor import STAGE, Preprocessor, PreprocessResult
from models.base import Rejected, Task


@dataclass(frozen=True)
class TracedPreprocessor:
    """A `Preprocessor` whose answers carry its span's `traceparent`."""

    preprocessor: Preprocessor
    tracing: tracing.Tracing

    @property
    def task(self) -> Task:
        """The task of the preprocessor."""
        return self.preprocessor.task

    def __call__(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, refusal: Rejected | None = None
    ) -> PreprocessResult:
        """Preprocess a request within a span. A dead letter keeps the `traceparent` of the original."""
        with self.tracing.span(
            STAGE, header_text(headers, tracing.TRACEPARENT_HEADER), tracing.record_attributes(origin)
        ) as span:
            result = self.preprocessor(origin, key, value, headers, refusal)
            if result.rejection is not None:
                span.fail(result.rejection)
            return replace(result, records=tuple(tracing.continue_trace(record, span) for record in result.records))
