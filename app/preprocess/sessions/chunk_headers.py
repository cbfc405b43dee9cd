"""The headers of a chunk: its session, its place in the session, and what the session's request takes from them."""

import json
from collections.abc import Mapping

from app.events.cloudevents import JSON, Event, header_text
from models.base import Rejected

MAX_SESSION_NAME_LENGTH = 200
"""Characters of a session's name: with a sequence it becomes the id of a request."""


def session_key(topic: str, headers: Mapping[str, bytes | None]) -> str:
    """Return the identity of a chunk's session (topic, source and session) as text, whatever its headers hold."""
    items = [(name, value) for name, value in headers.items() if value is not None]
    source = header_text(items, "ce_source") or f"kafka:{topic}"
    return json.dumps([topic, source, header_text(items, "ce_session")])


def parse_chunk(event: Event) -> tuple[str, int, bool]:
    """Return the session's name, the chunk's sequence, and whether it is the final chunk. Raises `Rejected`."""
    name, number = event.extensions.get("session", ""), event.extensions.get("sequence", "")
    final = event.extensions.get("final", "false")
    if not 1 <= len(name) <= MAX_SESSION_NAME_LENGTH:
        raise Rejected("bad_chunk", f"ce_session has {len(name)} characters; 1 to {MAX_SESSION_NAME_LENGTH} are needed")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Rejected("bad_chunk", f"ce_sequence is {number!r}; 0, 1, 2, .. is needed")
    if final not in ("true", "false"):
        raise Rejected("bad_chunk", f"ce_final is {final!r}; true or false is needed")
    return name, int(number), final == "true"


def request_attributes(event: Event, key: bytes | None) -> dict[str, str]:
    """Return the attributes that a session's request takes from the session's first chunk."""
    is_envelope = (event.content_type or "").split(";")[0].strip() == JSON  # it is opened, so its type ends here
    attributes = {
        "time": event.time,
        "key": None if key is None else key.decode("latin-1"),
        "subject": event.subject,
        "content_type": None if is_envelope else event.content_type,
        "traceparent": event.traceparent,
        "replay": event.extensions.get("replay"),
    }
    return {name: text for name, text in attributes.items() if text is not None}
