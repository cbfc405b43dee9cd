"""The record that a worker preprocesses, and the result that its answer holds."""

from dataclasses import dataclass

from app.events.cloudevents import Headers, Origin, Record
from app.preprocess.isolation.channel import Message
from app.preprocess.preprocessor import PreprocessResult
from models.base import Rejected


@dataclass(frozen=True)
class WorkItem:
    """One record of a requests topic."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def position(self) -> str:
        """Return the record's position in the log, which is its identity."""
        return self.origin.position

    def to_message(self, refusal: Rejected | None) -> Message:
        """Return the message to a worker. With a `refusal` the worker answers without reading the record."""
        origin = self.origin
        position = (origin.topic_id, origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
        refusal_fields = None if refusal is None else (refusal.code, str(refusal))
        return ("request", *position, self.key, self.value, self.headers, refusal_fields)


def to_result(answer: Message) -> PreprocessResult:
    """Return the result in a worker's answer to a request."""
    _, records, rejection_fields, _ = answer
    outputs = tuple(Record(topic, key, value, headers) for topic, key, value, headers in records)
    if rejection_fields is None:
        return PreprocessResult(outputs)
    code, reason = rejection_fields
    return PreprocessResult(outputs, Rejected(code, reason))
