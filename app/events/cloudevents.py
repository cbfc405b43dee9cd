"""The envelope: how events are written in Kafka, and how missing attributes are filled in.

CloudEvents 1.0 in Kafka's binary content mode (https://github.com/cloudevents/spec, kafka-protocol-binding.md):
attributes are headers `ce_*`, `content-type` has no prefix, the value is the data. An application may publish a bare
payload; `complete_event` fills in the missing attributes.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import lru_cache
from typing import NewType

from models.base import Rejected

Headers = tuple[tuple[str, bytes], ...]
TopicId = NewType("TopicId", str)
"""Cluster id and topic UUID: a topic that is deleted and created again has a different one."""

SPEC_VERSION = "1.0"
JSON = "application/json"
TENSORS = "application/vnd.hindsight.tensors"
MAX_ATTRIBUTE_LENGTH = 512
MAX_HEADERS = 256
MAX_HEADER_BYTES = 64 * 1024
"""The limit for the names and values of all headers but `ce_tensors`: a dead letter holds them all, and its own."""
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
_VERSIONED_TYPE = re.compile(r"(hindsight\..+)\.v([1-9][0-9]{0,3})")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MARKS = {"ce_replay", "ce_partial"}
CORE_ATTRIBUTES = {"specversion", "id", "type", "source", "subject", "time"}


@dataclass(frozen=True)
class Origin:
    """The position of a record in the log."""

    topic_id: TopicId
    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def position(self) -> str:
        """Return the position as text, unique for each record."""
        return f"{self.topic_id}/{self.topic}/{self.partition}/{self.offset}"

    @property
    def id(self) -> str:
        """Return the id of an event that has none: unique for each record, and the same under redelivery."""
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
        """Return the attributes as Kafka headers."""
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
    """Return the known headers as text; the last of repeated names counts.

    Raises `Rejected` for a value that is not UTF-8, too long, or has control characters.
    """
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
        if not text.isprintable() and _CONTROL_CHARACTERS.search(text):  # the first test is the quick one
            raise Rejected("bad_headers", f"header {name!r} has control characters")
        texts[name] = text
    return texts


@lru_cache(maxsize=1024)
def split_version(type: str) -> tuple[str, int]:
    """Return the name and version of a type. Raises `Rejected` (code `unknown_type`) if it is not a platform type."""
    match = _VERSIONED_TYPE.fullmatch(type)
    if match is None:
        raise Rejected(
            "unknown_type", f"{type!r} is not an event type: hindsight.<subject>.<verb>.v<version> is needed"
        )
    return match[1], int(match[2])


NEWER_VERSION = "newer_version"


def check_version(name: str, version: int, current: int) -> None:
    """Raises `Rejected` (code `newer_version`) if the version is above the current one."""
    if version > current:
        raise Rejected(
            NEWER_VERSION,
            f"{name}.v{version} is newer than this Hindsight, which reads v{current}: upgrade Hindsight",
        )


def complete_event(
    headers: Iterable[tuple[str, bytes | None]], data: bytes, origin: Origin, default_type: str
) -> Event:
    """Return the event of a record, with missing attributes filled in from the record's position.

    An older version of the default type keeps its version. Raises `Rejected`: `bad_headers` for attributes that break
    the specification or belong to another topic, `newer_version` for a version of the default type above the current
    one.
    """
    texts = decode_headers(_check_header_limits(headers))
    attributes = {name[3:]: value for name, value in texts.items() if name.startswith("ce_")}
    version = attributes.get("specversion", SPEC_VERSION)
    if version != SPEC_VERSION:
        raise Rejected("bad_headers", f"ce_specversion is {version!r}; this platform reads {SPEC_VERSION!r}")
    for name in ("id", "source", "type"):
        if attributes.get(name) == "":
            raise Rejected("bad_headers", f"ce_{name} is empty; leave it out to have it filled in")
    event_type = attributes.get("type", default_type)
    if event_type.startswith("hindsight.") and event_type != default_type:
        _check_type(event_type, default_type)
    time = attributes.get("time")
    if time is not None:
        _check_time(time)
    extensions = {
        name: value for name, value in attributes.items() if name not in CORE_ATTRIBUTES and _is_extension_name(name)
    }
    return Event(
        id=attributes.get("id") or origin.id,
        type=event_type,
        source=attributes.get("source", f"kafka:{origin.topic}"),
        time=time or format_rfc3339(origin.timestamp_ms),
        data=data,
        subject=attributes.get("subject"),
        content_type=texts.get("content-type"),
        traceparent=texts.get("traceparent"),
        extensions=extensions,
    )


@lru_cache(maxsize=1024)  # a stream has few names
def _is_extension_name(name: str) -> bool:
    return _EXTENSION_NAME.fullmatch(name) is not None


def _check_header_limits(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    pairs = list(headers)
    size = sum([len(name) + len(value or b"") for name, value in pairs if name != "ce_tensors"])
    if len(pairs) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        reason = f"{len(pairs):,} headers of {size:,} bytes; at most {MAX_HEADERS:,} of {MAX_HEADER_BYTES:,} are taken"
        raise Rejected("bad_headers", reason)
    return pairs


def event_identity(headers: Iterable[tuple[str, bytes | None]], origin: Origin) -> tuple[str, str]:
    """Return the (source, id) of a record whose headers `complete_event` rejects.

    Readable values are used; the others are filled in as in `complete_event`.
    """
    identity = {"ce_source": f"kafka:{origin.topic}", "ce_id": origin.id}
    for name, value in headers:
        if name in identity:
            with suppress(Rejected):
                identity[name] = decode_headers([(name, value)]).get(name) or identity[name]
    return identity["ce_source"], identity["ce_id"]


def _check_type(event_type: str, default_type: str) -> None:
    name, current = split_version(default_type)
    match = _VERSIONED_TYPE.fullmatch(event_type)
    if match is None or match[1] != name:
        raise Rejected("bad_headers", f"ce_type is {event_type!r}, but this topic carries {default_type!r}")
    check_version(name, int(match[2]), current)


def _check_time(time: str) -> None:
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise Rejected("bad_headers", f"ce_time is {time!r}; RFC 3339 is needed: 2026-01-31T12:00:00Z") from None
    if parsed.tzinfo is None:
        raise Rejected("bad_headers", f"ce_time is {time!r}, without a time zone; add Z or an offset")
    if not MINYEAR < parsed.year < MAXYEAR:  # in another time zone the first and the last year may be out of range
        raise Rejected("bad_headers", f"ce_time is {time!r}; a year from {MINYEAR + 1} to {MAXYEAR - 1} is needed")


def format_rfc3339(timestamp_ms: float) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def header_text(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes], name: str) -> str | None:
    """Return the text of the last header with this name; None if there is none."""
    items = headers.items() if isinstance(headers, Mapping) else headers
    values = [value for key, value in items if key == name]
    return values[-1].decode(errors="replace") if values else None


def is_marked(headers: Iterable[tuple[str, bytes]]) -> bool:
    """Return whether a record is republished history or a partial answer of a session: neither is counted."""
    return not _MARKS.isdisjoint([name for name, _ in headers])


@dataclass(frozen=True)
class ConsumedRecord:
    """A record as it was consumed."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers
