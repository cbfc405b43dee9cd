"""The vocabulary: what is said on the topics, and how it is written in Kafka.

CloudEvents 1.0 in Kafka's binary content mode (https://github.com/cloudevents/spec, kafka-protocol-binding.md):
attributes are headers `ce_*`, `content-type` has no prefix, data is the value. An application may publish a bare
payload; what it leaves out is filled in by `complete`.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NewType, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.topics import DEAD_LETTERS
from models.base import Rejected

Headers = tuple[tuple[str, bytes], ...]
LogEpoch = NewType("LogEpoch", str)
"""Cluster id and topic UUID: a topic that is deleted and made again has another one."""

SPEC_VERSION = "1.0"
JSON = "application/json"
TENSORS = "application/vnd.hindsight.tensors"
MAX_ATTRIBUTE = 512
MAX_REASON = 2000
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CORE = {"specversion", "id", "type", "source", "subject", "time"}


@dataclass(frozen=True)
class Origin:
    """Where a record stands in the log."""

    epoch: LogEpoch
    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def place(self) -> str:
        """The record's place, as text: never another record's."""
        return f"{self.epoch}/{self.topic}/{self.partition}/{self.offset}"

    @property
    def id(self) -> str:
        """The id of an event that came without one: the same under redelivery, never shared by another record."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.place))


@dataclass(frozen=True)
class Event:
    """A CloudEvent: attributes and data."""

    id: str
    type: str
    source: str
    time: str
    data: bytes
    subject: str | None = None
    content_type: str | None = None
    traceparent: str | None = None
    extensions: dict[str, str] = field(default_factory=dict)

    def headers(self) -> Headers:
        """The attributes as Kafka headers."""
        attributes = {"specversion": SPEC_VERSION, "id": self.id, "type": self.type, "source": self.source}
        attributes["time"] = self.time
        if self.subject is not None:
            attributes["subject"] = self.subject
        headers = {f"ce_{name}": value for name, value in (attributes | self.extensions).items()}
        if self.content_type is not None:
            headers["content-type"] = self.content_type
        if self.traceparent is not None:
            headers["traceparent"] = self.traceparent
        return tuple((name, value.encode()) for name, value in headers.items())


@dataclass(frozen=True)
class Record:
    """A Kafka record to be published."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def text_of(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Headers as text. Of repeated names the last counts. Raises `Rejected` for what is not UTF-8 text."""
    texts = {}
    for name, value in headers:
        known = name.startswith("ce_") or name in ("content-type", "traceparent")
        if not known or value is None:
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise Rejected("bad_headers", f"header {name!r} is not UTF-8 text") from None
        if len(text) > MAX_ATTRIBUTE and name != "ce_tensors":
            raise Rejected("bad_headers", f"header {name!r} has {len(text)} characters; at most {MAX_ATTRIBUTE}")
        if _CONTROL.search(text):
            raise Rejected("bad_headers", f"header {name!r} has control characters")
        texts[name] = text
    return texts


def complete(headers: Iterable[tuple[str, bytes | None]], data: bytes, origin: Origin, default_type: str) -> Event:
    """The event of a record, its missing attributes filled in from where it stands in the log.

    Raises `Rejected` (code `bad_headers`) for attributes that break the specification.
    """
    texts = text_of(headers)
    attributes = {name[3:]: value for name, value in texts.items() if name.startswith("ce_")}
    version = attributes.get("specversion", SPEC_VERSION)
    if version != SPEC_VERSION:
        raise Rejected("bad_headers", f"ce_specversion is {version!r}; this platform reads {SPEC_VERSION!r}")
    for name in ("id", "source", "type"):
        if attributes.get(name) == "":
            raise Rejected("bad_headers", f"ce_{name} is empty; leave it out to have it filled in")
    kind = attributes.get("type", default_type)
    if kind.startswith("hindsight.") and kind != default_type:
        raise Rejected("bad_headers", f"ce_type is {kind!r}, but this topic carries {default_type!r}")
    time = attributes.get("time")
    if time is not None:
        _check_time(time)
    extensions = {name: value for name, value in attributes.items() if name not in _CORE and _EXTENSION.fullmatch(name)}
    return Event(
        id=attributes.get("id") or origin.id,
        type=kind,
        source=attributes.get("source", f"kafka:{origin.topic}"),
        time=time or rfc3339(origin.timestamp_ms),
        data=data,
        subject=attributes.get("subject"),
        content_type=texts.get("content-type"),
        traceparent=texts.get("traceparent"),
        extensions=extensions,
    )


def identity(headers: Iterable[tuple[str, bytes | None]], origin: Origin) -> tuple[str, str]:
    """The (source, id) of a record whose headers `complete` refuses: what can be read of both, filled in as there."""
    said = {"ce_source": f"kafka:{origin.topic}", "ce_id": origin.id}
    for name, value in headers:
        if name in said:
            with suppress(Rejected):
                said[name] = text_of([(name, value)]).get(name) or said[name]
    return said["ce_source"], said["ce_id"]


def _check_time(time: str) -> None:
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise Rejected("bad_headers", f"ce_time is {time!r}; RFC 3339 is needed: 2026-01-31T12:00:00Z") from None
    if parsed.tzinfo is None:
        raise Rejected("bad_headers", f"ce_time is {time!r}, without a time zone; add Z or an offset")


def rfc3339(timestamp_ms: float) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def prediction_id(task: str, source: str, request_id: str) -> str:
    """The id of a request's one served prediction: `<task>:<uuid5(source, request id)>`."""
    return f"{task}:{uuid.uuid5(_namespace(source), request_id)}"


@lru_cache(maxsize=1024)
def _namespace(source: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, source)


def task_of(prediction: str) -> str:
    """The task that a prediction's id names. Raises ValueError."""
    task, _, unique = prediction.partition(":")
    try:
        known = bool(task) and str(uuid.UUID(unique)) == unique
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{prediction!r} is no prediction id: <task>:<uuid>")
    return task


class Data(BaseModel):
    """JSON data of an event type."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    type: ClassVar[str]

    def record(self, topic: str, key: bytes | None, **attributes: Any) -> Record:
        """This data as a record; `attributes` are those of `Event`."""
        event = Event(type=self.type, data=self.model_dump_json().encode(), content_type=JSON, **attributes)
        return Record(topic, key, event.data, event.headers())


class ModelRef(Data):
    """A model's logical name and version."""

    name: str
    version: str


class PredictionRequested:
    """A request: the payload itself is the value."""

    type: ClassVar[str] = "hindsight.prediction.requested.v1"


class FeaturesExtracted:
    """Features: tensors, as raw little-endian bytes one after the other (see `app.tensors`)."""

    type: ClassVar[str] = "hindsight.features.extracted.v1"


class PredictionMade(Data):
    """What a model says of a request. Times in milliseconds; `queued` is what the others leave of `total`."""

    type: ClassVar[str] = "hindsight.prediction.made.v1"
    prediction_id: str
    request_id: str
    task: str
    model: ModelRef
    role: Literal["champion", "canary", "shadow"]
    output: dict[str, Any]
    confidence: Annotated[float, Field(ge=0, le=1)]
    propensity: Annotated[float, Field(gt=0, le=1)]
    timings_ms: dict[Literal["queued", "preprocess", "inference", "total"], float]


def _sayable(reason: str) -> str:
    """A reason may quote what it is about: here it fits into a record, whatever that was."""
    return reason[:MAX_REASON].encode(errors="replace").decode()


class Failure(Data):
    """Why a request has no prediction."""

    stage: str
    code: str
    reason: Annotated[str, AfterValidator(_sayable)]


class PredictionFailed(Data):
    """The answer to a request that can't be predicted; `dead_letter` is the id of its record in `dead-letters`."""

    type: ClassVar[str] = "hindsight.prediction.failed.v1"
    prediction_id: str
    request_id: str
    task: str
    error: Failure
    dead_letter: str


class FeedbackGiven(Data):
    """What a person or an application says of a prediction: a correction, a reward, or that it was right."""

    type: ClassVar[str] = "hindsight.feedback.given.v1"
    prediction_id: Annotated[str, Field(max_length=200)] | None = None
    task: Annotated[str, Field(max_length=100)] | None = None
    request_id: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE)] | None = None
    request_source: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE)] | None = None
    correction: dict[str, Any] | None = None
    reward: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    accepted: bool | None = None
    actor: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _says_something_of_one_prediction(self) -> Self:
        if self.correction is None and self.reward is None and self.accepted is None:
            raise ValueError("at least one of correction, reward and accepted is needed")
        if self.prediction_id is None and (self.task is None or self.request_id is None):
            raise ValueError("either prediction_id, or task and request_id, is needed")
        if self.prediction_id is not None and (self.request_id is not None or self.request_source is not None):
            raise ValueError("prediction_id and request_id exclude each other")
        if self.prediction_id is not None and task_of(self.prediction_id) != (self.task or task_of(self.prediction_id)):
            raise ValueError(f"prediction_id is not of task {self.task!r}")
        return self

    @property
    def about(self) -> tuple[str, str]:
        """The task and the key under which this feedback is published: the prediction's or the request's id."""
        if self.prediction_id is not None:
            return task_of(self.prediction_id), self.prediction_id
        assert self.task is not None and self.request_id is not None
        return self.task, prediction_id(
            self.task, self.request_source or f"kafka:{self.task}.requests", self.request_id
        )


def dead_letter(record: Record, origin: Origin, error: Failure, event: tuple[str, str]) -> tuple[str, Record]:
    """The dead letter of a record, and its id: the original key, value and headers, with `rejected_*` headers beside.

    `event` is the (source, id) that the record had or was given, so that a replay keeps its identity.
    """
    source, event_id = event
    reference = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{origin.id}/{error.stage}"))
    said = {
        "rejected_type": "hindsight.event.rejected.v1",
        "rejected_id": reference,
        "rejected_stage": error.stage,
        "rejected_code": error.code,
        "rejected_reason": error.reason,
        "rejected_topic": origin.topic,
        "rejected_partition": str(origin.partition),
        "rejected_offset": str(origin.offset),
        "rejected_event_source": source,
        "rejected_event_id": event_id,
    }
    headers = (*record.headers, *((name, value.encode()) for name, value in said.items()))
    return reference, Record(DEAD_LETTERS, record.key, record.value, headers)


def header(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes], name: str) -> str | None:
    """One header's text, the last of its name; None where there is none."""
    items = headers.items() if isinstance(headers, Mapping) else headers
    found = [value for key, value in items if key == name]
    return found[-1].decode(errors="replace") if found else None
