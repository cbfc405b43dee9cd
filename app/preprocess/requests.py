"""From a request to its features: one pure function, called by the Flink job live and in batch."""

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app import tensors, topics
from app.events import (
    JSON,
    TENSORS,
    Event,
    Failure,
    FeaturesExtracted,
    Headers,
    Origin,
    PredictionFailed,
    PredictionRequested,
    Record,
    complete,
    dead_letter,
    prediction_id,
    rfc3339,
)
from models.base import Rejected, Task

STAGE = "preprocess"
SOURCE = "hindsight/preprocess"


@dataclass(frozen=True)
class Outputs:
    """What one request becomes: its features, or a dead letter and an answer; nothing for one answered elsewhere."""

    records: tuple[Record, ...]
    rejected: Rejected | None = None


@dataclass(frozen=True)
class Preprocessor:
    """Turns the requests of one task into features. `fetch` reads a `blob://` URI, with the most bytes allowed."""

    task: Task
    fetch: Callable[[str, int], bytes]

    def __call__(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, refusal: Rejected | None = None
    ) -> Outputs:
        """The records that answer a request. What can't be read is rejected; with a `refusal`, it isn't even tried."""
        source, request_id = f"kafka:{origin.topic}", origin.id
        event = None
        try:
            event = complete(headers, value or b"", origin, PredictionRequested.type)
            source, request_id = event.source, event.id
            if "batch" in event.extensions:  # answered by the batch that recorded it
                return Outputs(())
            if refusal is not None:
                raise refusal
            return Outputs((self._features(event, origin, key),))
        except Rejected as error:
            return self._rejected(error, Record(origin.topic, key, value, headers), origin, (source, request_id), event)

    def _features(self, event: Event, origin: Origin, key: bytes | None) -> Record:
        started = time.perf_counter()
        payload = payload_of(event, self.fetch, self.task.max_payload_bytes)
        try:
            features = self.task.preprocess(payload)
        except Rejected:
            raise
        except Exception as error:  # whatever a task stumbles over is that payload's, not its neighbours'
            raise Rejected("preprocess_error", f"{type(error).__name__}: {error}") from error
        data, declaration = tensors.encode(features)
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
            },
        )
        return Record(topics.features(self.task.name), key, data, made.headers())

    def _rejected(
        self, error: Rejected, record: Record, origin: Origin, identity: tuple[str, str], event: Event | None
    ) -> Outputs:
        failure = Failure(stage=STAGE, code=error.code, reason=str(error))
        reference, letter = dead_letter(record, origin, failure, identity)
        answer = failed(self.task.name, identity, failure, reference, record.key, event.subject if event else None)
        return Outputs((letter, answer), error)


def failed(
    task: str, identity: tuple[str, str], failure: Failure, reference: str, key: bytes | None, subject: str | None
) -> Record:
    """The answer to a request that can't be predicted. `identity` is the request's (source, id)."""
    source, request_id = identity
    unique = prediction_id(task, source, request_id)
    said = PredictionFailed(
        prediction_id=unique, request_id=request_id, task=task, error=failure, dead_letter=reference
    )
    return said.record(
        topics.predictions(task),
        key,
        id=unique,
        source=f"hindsight/{task}",
        time=rfc3339(time.time() * 1000),
        subject=subject,
        extensions={"requestsource": source},
    )


def payload_of(event: Event, fetch: Callable[[str, int], bytes], limit: int) -> bytes:
    """The payload itself: the value, or what a JSON value carries in `data_base64` or claims by `uri`."""
    payload = event.data
    envelope = _envelope(event)
    if envelope is not None and "uri" in envelope:
        payload = fetch(str(envelope["uri"]), limit)
    elif envelope is not None:
        try:
            payload = base64.b64decode(str(envelope["data_base64"]), validate=True)
        except binascii.Error as error:
            raise Rejected("bad_envelope", f"data_base64 can't be decoded: {error}") from error
    if not payload:
        raise Rejected("empty", "the value is empty; a payload, or JSON with data_base64 or uri, is needed")
    if len(payload) > limit:
        raise Rejected("too_large", f"the payload has {len(payload):,} bytes; at most {limit:,} are taken")
    return payload


def _envelope(event: Event) -> Mapping[str, object] | None:
    declared = (event.content_type or "").split(";")[0].strip() == JSON
    if not declared and (event.content_type or not event.data.startswith(b"{")):
        return None
    try:
        envelope = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        if declared:
            raise Rejected("bad_envelope", f"content-type is {JSON}, but the value is no JSON: {error}") from error
        return None
    if isinstance(envelope, dict) and len({"uri", "data_base64"} & envelope.keys()) == 1 and len(envelope) == 1:
        return envelope
    return None
