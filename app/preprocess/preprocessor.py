"""Turns a request into its features: one pure function for the live and the bounded Flink jobs."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.events import topics
from app.events.answers import build_dead_letter, build_failed_prediction, propagated_extensions
from app.events.cloudevents import (
    TENSORS,
    Event,
    Headers,
    Origin,
    Record,
    complete_event,
    event_identity,
    format_rfc3339,
)
from app.events.ids import prediction_id
from app.events.payload import extract_payload
from app.events.types import Failure, FeaturesExtracted, PredictionRequested
from app.settings.namespace import qualify
from models import tensors
from models.base import Rejected, Task

STAGE = "preprocess"
SOURCE = qualify("hindsight/preprocess")
MAX_KEY_BYTES = 64 * 1024
"""The key comes back on the answer, whose topic takes smaller records than the requests topic."""
_MAX_HEADER_BYTES = 16 * 1024
"""Bound of what a features record holds beside its key, its tensors and their declaration."""


@dataclass(frozen=True)
class PreprocessResult:
    """The outputs of one request: its features, or a dead letter and an answer; none if it is answered elsewhere."""

    records: tuple[Record, ...]
    rejection: Rejected | None = None


@dataclass(frozen=True)
class Preprocessor:
    """Turns the requests of one task into features.

    `fetch` reads a `blob://` URI of at most so many bytes; `max_features_bytes` bounds a features record,
    `max_claimed_bytes` the payload that a claim check names, by default as the task's limit does.
    """

    task: Task
    fetch: Callable[[str, int], bytes]
    max_features_bytes: int
    max_claimed_bytes: int | None = None
    takes_files: bool = False
    """Whether payloads are files, which have the limit of claim checks: they did not come through Kafka."""

    def __call__(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, refusal: Rejected | None = None
    ) -> PreprocessResult:
        """Return the records that answer a request. Reject an unreadable one; with a `refusal`, do not read it."""
        event = None
        try:
            event = complete_event(headers, value or b"", origin, PredictionRequested.type)
            if "batch" in event.extensions:  # the batch that recorded it answers it
                return PreprocessResult(())
            if refusal is not None:
                raise refusal
            return PreprocessResult((self._features(event, origin, key),))
        except Rejected as error:
            event_id = (event.source, event.id) if event else event_identity(headers, origin)
            return self._reject(error, Record(origin.topic, key, value, headers), origin, event_id, event, refusal)

    def _features(self, event: Event, origin: Origin, key: bytes | None) -> Record:
        started = time.perf_counter()
        if key is not None and len(key) > MAX_KEY_BYTES:
            raise Rejected("bad_key", f"the key has {len(key):,} bytes; at most {MAX_KEY_BYTES:,} are taken")
        limit = self.task.max_payload_bytes
        if self.takes_files and self.max_claimed_bytes is not None:
            limit = self.max_claimed_bytes
        payload = extract_payload(event, self.fetch, limit, self.max_claimed_bytes)
        try:
            data, declaration = tensors.encode(self.task.preprocess(payload))
        except Rejected:
            raise
        except MemoryError as error:
            raise Rejected("out_of_memory", "preprocessing this payload exceeds the memory limit") from error
        except Exception as error:  # a failure of the task's code affects this payload only
            raise Rejected("preprocess_error", f"{type(error).__name__}: {error}") from error
        features = Event(
            id=prediction_id(self.task.name, event.source, event.id),
            type=FeaturesExtracted.type,
            source=SOURCE,
            time=format_rfc3339(time.time() * 1000),
            data=data,
            subject=event.subject,
            content_type=TENSORS,
            traceparent=event.traceparent,
            extensions={
                "requestid": event.id,
                "requestsource": event.source,
                "requestlogtime": str(origin.timestamp_ms),
                "preprocessversion": self.task.preprocess_version,
                "preprocessms": f"{(time.perf_counter() - started) * 1000:.3f}",
                "tensors": declaration,
                **_payload_hash(key, event.id, payload),
                **propagated_extensions(event),
            },
        )
        record = Record(topics.features(self.task.name), key, data, features.to_headers())
        size = len(key or b"") + len(data) + len(declaration) + _MAX_HEADER_BYTES
        if size > self.max_features_bytes:
            raise Rejected(
                "features_too_large", f"the features take {size:,} bytes; at most {self.max_features_bytes:,} are taken"
            )
        return record

    def _reject(
        self,
        error: Rejected,
        record: Record,
        origin: Origin,
        event_id: tuple[str, str],
        event: Event | None,
        refusal: Rejected | None,
    ) -> PreprocessResult:
        failure = Failure(stage=STAGE, code=error.code, reason=str(error))
        key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
        if event and "partial" in event.extensions and error is not refusal:
            # Part of a session: half of a file often can't be read, and the whole session is still to come.
            return PreprocessResult((build_failed_prediction(self.task.name, event_id, failure, None, key, event),))
        reference, letter = build_dead_letter(record, origin, failure, event_id)
        answer = build_failed_prediction(self.task.name, event_id, failure, reference, key, event)
        return PreprocessResult((letter, answer), error)


def _payload_hash(key: bytes | None, request_id: str, payload: bytes) -> Mapping[str, str]:
    """Return the extension by which equal payloads get into one split of a dataset; none if the request has a key."""
    is_keyless = key is None or key == request_id.encode()
    return {"payloadhash": hashlib.sha256(payload).hexdigest()} if is_keyless else {}
