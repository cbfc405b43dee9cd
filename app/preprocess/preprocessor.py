"""From a request to its features: one pure function, called by the Flink job live and in batch."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.events import topics
from app.events.cloudevents import JSON, TENSORS, Event, Headers, Origin, Record, complete, identity, rfc3339
from app.events.types import (
    Failure,
    FeaturesExtracted,
    ModelRef,
    PredictionFailed,
    PredictionRequested,
    Role,
    dead_letter,
    prediction_id,
    shadow_id,
)
from models import tensors
from models.base import Rejected, Task

STAGE = "preprocess"
SOURCE = "hindsight/preprocess"
_CLAIM = {"uri", "data_base64", "size", "sha256"}
MAX_KEY = 64 * 1024
"""Bytes of a key: it comes back on the answer, whose topic takes less than the requests' does."""
_HEADERS = 16 * 1024
"""What a features record holds beside key, tensors and their declaration, at most."""


@dataclass(frozen=True)
class Outputs:
    """What one request becomes: its features, or a dead letter and an answer; nothing for one answered elsewhere."""

    records: tuple[Record, ...]
    rejected: Rejected | None = None


@dataclass(frozen=True)
class Preprocessor:
    """Turns the requests of one task into features.

    `fetch` reads a `blob://` URI, with the most bytes allowed; `limit` is the largest message that features may make.
    """

    task: Task
    fetch: Callable[[str, int], bytes]
    limit: int

    def __call__(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, refusal: Rejected | None = None
    ) -> Outputs:
        """The records that answer a request. What can't be read is rejected; with a `refusal`, it isn't even tried."""
        event = None
        try:
            event = complete(headers, value or b"", origin, PredictionRequested.type)
            if "batch" in event.extensions:  # answered by the batch that recorded it
                return Outputs(())
            if refusal is not None:
                raise refusal
            return Outputs((self._features(event, origin, key),))
        except Rejected as error:
            unique = (event.source, event.id) if event else identity(headers, origin)
            return self._rejected(error, Record(origin.topic, key, value, headers), origin, unique, event, refusal)

    def _features(self, event: Event, origin: Origin, key: bytes | None) -> Record:
        started = time.perf_counter()
        if key is not None and len(key) > MAX_KEY:
            raise Rejected("bad_key", f"the key has {len(key):,} bytes; at most {MAX_KEY:,} are taken")
        payload = payload_of(event, self.fetch, self.task.max_payload_bytes)
        try:
            data, declaration = tensors.encode(self.task.preprocess(payload))
        except Rejected:
            raise
        except MemoryError as error:
            raise Rejected("out_of_memory", "to preprocess this payload takes more memory than it may") from error
        except Exception as error:  # whatever a task stumbles over is that payload's, not its neighbours'
            raise Rejected("preprocess_error", f"{type(error).__name__}: {error}") from error
        made = Event(
            id=prediction_id(self.task.name, event.source, event.id),
            type=FeaturesExtracted.type,
            source=SOURCE,
            time=rfc3339(time.time() * 1000),
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
                **marks(event),
            },
        )
        record = Record(topics.features(self.task.name), key, data, made.headers())
        size = len(key or b"") + len(data) + len(declaration) + _HEADERS
        if size > self.limit:
            raise Rejected("features_too_large", f"the features take {size:,} bytes; at most {self.limit:,} are taken")
        return record

    def _rejected(
        self,
        error: Rejected,
        record: Record,
        origin: Origin,
        unique: tuple[str, str],
        event: Event | None,
        refusal: Rejected | None,
    ) -> Outputs:
        failure = Failure(stage=STAGE, code=error.code, reason=str(error))
        key = record.key if len(record.key or b"") <= MAX_KEY else None
        if event and "partial" in event.extensions and error is not refusal:
            # A session so far: half of a file often can't be read, and the session's end still comes.
            return Outputs((failed(self.task.name, unique, failure, None, key, event),))
        reference, letter = dead_letter(record, origin, failure, unique)
        answer = failed(self.task.name, unique, failure, reference, key, event)
        return Outputs((letter, answer), error)


MARKS = ("replay", "partial", "missing", "stream", "sequence")
"""What an answer takes over from what it answers: that it is history published again, or a session's so far; how many
chunks of the session are missing; and which frame of which stream it is."""


def marks(event: Event | None) -> dict[str, str]:
    """The marks of an event."""
    return {name: event.extensions[name] for name in MARKS if name in event.extensions} if event else {}


def failed(
    task: str,
    request: tuple[str, str],
    failure: Failure,
    reference: str | None,
    key: bytes | None,
    event: Event | None,
    asked: tuple[ModelRef, Role] | None = None,
) -> Record:
    """The answer to a request that can't be predicted. `request` is its (source, id), `event` what is known of it.

    `asked` is the version that was asked for a prediction, and its role: what a shadow fails to say answers nobody.
    """
    source, request_id = request
    unique, topic = prediction_id(task, source, request_id), topics.predictions(task)
    model, role = asked or (None, None)
    if model is not None and role == "shadow":
        unique, topic = shadow_id(unique, model.version), topics.shadow_predictions(task)
    said = PredictionFailed(
        prediction_id=unique,
        request_id=request_id,
        task=task,
        error=failure,
        model=model,
        role=role,
        dead_letter=reference,
    )
    return said.record(
        topic,
        key,
        id=unique,
        source=f"hindsight/{task}",
        time=rfc3339(time.time() * 1000),
        subject=event.subject if event else None,
        traceparent=event.traceparent if event else None,
        extensions={"requestsource": source, **marks(event)},
    )


def payload_of(event: Event, fetch: Callable[[str, int], bytes], limit: int) -> bytes:
    """The payload itself: the value, or what a JSON value carries in `data_base64` or claims by `uri`."""
    payload = event.data
    envelope = _envelope(event)
    if envelope is not None and "uri" in envelope:
        payload = fetch(envelope["uri"], limit)
    elif envelope is not None:
        try:
            payload = base64.b64decode(envelope["data_base64"], validate=True)
        except ValueError as error:
            raise Rejected("bad_envelope", f"data_base64 can't be decoded: {error}") from error
    if not payload:
        raise Rejected("empty", "the value is empty; a payload, or JSON with data_base64 or uri, is needed")
    if len(payload) > limit:
        raise Rejected("too_large", f"the payload has {len(payload):,} bytes; at most {limit:,} are taken")
    return payload


def _envelope(event: Event) -> Mapping[str, str] | None:
    declared = (event.content_type or "").split(";")[0].strip() == JSON
    if not declared and (event.content_type or not event.data.startswith(b"{")):
        return None
    try:
        envelope = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        if declared:
            raise Rejected("bad_envelope", f"content-type is {JSON}, but the value is no JSON: {error}") from error
        return None
    # What POST /v1/blobs answers is a claim check as it stands.
    if not isinstance(envelope, dict) or not envelope.keys() <= {"uri", "data_base64", "size", "sha256"}:
        return None
    names = {"uri", "data_base64"} & envelope.keys()
    if len(names) != 1:
        return None
    [name] = names
    text = envelope[name]
    if not isinstance(text, str):
        raise Rejected("bad_envelope", f"{name} is of {type(text).__name__}; a string is needed")
    return {name: text}
