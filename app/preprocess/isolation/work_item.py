"""The record that a worker preprocesses, and the result that its answer holds."""

import marshal
from dataclasses import dataclass
from typing import Any

from app.events.cloudevents import Headers, Origin, Record, TopicId
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

    def to_fields(self) -> tuple[Any, ...]:
        """Return the record as plain values."""
        origin = self.origin
        position = (origin.topic_id, origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
        return position, self.key, self.value, self.headers

    @classmethod
    def from_fields(cls, fields: tuple[Any, ...]) -> "WorkItem":
        """Return the record with these values."""
        (topic_id, *position), key, value, headers = fields
        return cls(Origin(TopicId(topic_id), *position), key, value, headers)

    def to_bytes(self) -> bytes:
        """Return the record marshalled, for another operator of the job."""
        return marshal.dumps(self.to_fields())

    @classmethod
    def from_bytes(cls, data: bytes) -> "WorkItem":
        """Return the record that `to_bytes` marshalled."""
        return cls.from_fields(marshal.loads(data))  # noqa: S302  # from our own operator


def to_result(fields: tuple[Any, ...]) -> PreprocessResult:
    """Return the result that a worker's answer holds for a record."""
    records, rejection_fields = fields
    outputs = tuple(Record(topic, key, value, headers) for topic, key, value, headers in records)
    if rejection_fields is None:
        return PreprocessResult(outputs)
    code, reason = rejection_fields
    return PreprocessResult(outputs, Rejected(code, reason))
