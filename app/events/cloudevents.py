"""The envelope: how an event is written in Kafka, and what is filled in where an application left it out.

CloudEvents 1.0 in Kafka's binary content mode (https://github.com/cloudevents/spec, kafka-protocol-binding.md):
attributes are headers `ce_*`, `content-type` has no prefix, data is the value. An application may publish a bare
payload; what it leaves out is filled in by `complete`.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import NewType

from models.base import Rejected

Headers = tuple[tuple[str, bytes], ...]
TopicId = NewType("TopicId", str)
"""Cluster id and topic UUID: a topic that is deleted and made again has another one."""

SPEC_VERSION = "1.0"
JSON = "application/json"
TENSORS = "application/vnd.hindsight.tensors"
MAX_ATTRIBUTE_LENGTH = 512
MAX_HEADERS = 256
MAX_HEADER_BYTES = 64 * 1024
"""Of the names and values of all headers but `ce_tensors`: a dead letter holds them all, and more."""
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
_VERSIONED_TYPE = re.compile(r"(hindsight\..+)\.v([1-9][0-9]{0,3})")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CORE_ATTRIBUTES = {"specversion", "id", "type", "source", "subject", "time"}


@dataclass(frozen=True)
class Origin:
    """Where a record stands in the log."""

    topic_id: TopicId
    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def position(self) -> str:
        """The record's place, as text: never another record's."""
        return f"{self.topic_id}/{self.topic}/{self.partition}/{self.offset}"

    @property
    def id(self) -> str:
        """The id of an event that came without one: the same under redelivery, never shared by another record."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.position))


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

    def to_headers(self) -> Headers:
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


def decode_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
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
        if len(text) > MAX_ATTRIBUTE_LENGTH and name != "ce_tensors":
            raise Rejected("bad_headers", f"header {name!r} has {len(text)} characters; at most {MAX_ATTRIBUTE_LENGTH}")
        if _CONTROL_CHARACTERS.search(text):
            raise Rejected("bad_headers", f"header {name!r} has control characters")
        texts[name] = text
    return texts


def split_version(type: str) -> tuple[str, int]:
    """A type's name and version. Raises `Rejected` (code `unknown_type`) for what is none of this platform's types."""
    found = _VERSIONED_TYPE.fullmatch(type)
    if found is None:
        raise Rejected("unknown_type", f"{type!r} is no type of event: hindsight.<what>.<happened>.v<version>")
    return found[1], int(found[2])


def check_version(name: str, version: int, current: int) -> None:
    """Raises `Rejected` (code `newer_version`) for a version of a type that is not known yet."""
    if version > current:
        raise Rejected(
            "newer_version",
            f"{name}.v{version} is newer than this Hindsight, which reads v{current}: upgrade Hindsight",
        )


def complete_event(
    headers: Iterable[tuple[str, bytes | None]], data: bytes, origin: Origin, default_type: str
) -> Event:
    """The event of a record, its missing attributes filled in from where it stands in the log.

    An older version of the default type is read as what it is. Raises `Rejected`: `bad_headers` for attributes that
    break the specification or the topic, `newer_version` for a version of the default type that is not known yet.
    """
    texts = decode_headers(_check_header_limits(headers))
    attributes = {name[3:]: value for name, value in texts.items() if name.startswith("ce_")}
    version = attributes.get("specversion", SPEC_VERSION)
    if version != SPEC_VERSION:
        raise Rejected("bad_headers", f"ce_specversion is {version!r}; this platform reads {SPEC_VERSION!r}")
    for name in ("id", "source", "type"):
        if attributes.get(name) == "":
            raise Rejected("bad_headers", f"ce_{name} is empty; leave it out to have it filled in")
    kind = attributes.get("type", default_type)
    if kind.startswith("hindsight.") and kind != default_type:
        _check_type(kind, default_type)
    time = attributes.get("time")
    if time is not None:
        _check_time(time)
    extensions = {
        name: value
        for name, value in attributes.items()
        if name not in CORE_ATTRIBUTES and _EXTENSION_NAME.fullmatch(name)
    }
    return Event(
        id=attributes.get("id") or origin.id,
        type=kind,
        source=attributes.get("source", f"kafka:{origin.topic}"),
        time=time or format_rfc3339(origin.timestamp_ms),
        data=data,
        subject=attributes.get("subject"),
        content_type=texts.get("content-type"),
        traceparent=texts.get("traceparent"),
        extensions=extensions,
    )


def _check_header_limits(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    found = list(headers)
    size = sum(len(name) + len(value or b"") for name, value in found if name != "ce_tensors")
    if len(found) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        reason = f"{len(found):,} headers of {size:,} bytes; at most {MAX_HEADERS:,} of {MAX_HEADER_BYTES:,} are taken"
        raise Rejected("bad_headers", reason)
    return found


def event_identity(headers: Iterable[tuple[str, bytes | None]], origin: Origin) -> tuple[str, str]:
    """The (source, id) of a record whose headers `complete` refuses: what can be read of both, filled in as there."""
    said = {"ce_source": f"kafka:{origin.topic}", "ce_id": origin.id}
    for name, value in headers:
        if name in said:
            with suppress(Rejected):
                said[name] = decode_headers([(name, value)]).get(name) or said[name]
    return said["ce_source"], said["ce_id"]


def _check_type(kind: str, default_type: str) -> None:
    name, current = split_version(default_type)
    found = _VERSIONED_TYPE.fullmatch(kind)
    if found is None or found[1] != name:
        raise Rejected("bad_headers", f"ce_type is {kind!r}, but this topic carries {default_type!r}")
    check_version(name, int(found[2]), current)


def _check_time(time: str) -> None:
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise Rejected("bad_headers", f"ce_time is {time!r}; RFC 3339 is needed: 2026-01-31T12:00:00Z") from None
    if parsed.tzinfo is None:
        raise Rejected("bad_headers", f"ce_time is {time!r}, without a time zone; add Z or an offset")
    if not MINYEAR < parsed.year < MAXYEAR:  # the first and the last have moments that are in no year elsewhere
        raise Rejected("bad_headers", f"ce_time is {time!r}; a year from {MINYEAR + 1} to {MAXYEAR - 1} is needed")


def format_rfc3339(timestamp_ms: float) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def header_text(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes], name: str) -> str | None:
    """One header's text, the last of its name; None where there is none."""
    items = headers.items() if isinstance(headers, Mapping) else headers
    found = [value for key, value in items if key == name]
    return found[-1].decode(errors="replace") if found else None


@dataclass(frozen=True)
class ConsumedRecord:
    """A record as it was consumed."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers
