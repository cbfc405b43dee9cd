"""The payload of a request: the value itself, a field of its JSON envelope, or a blob that the envelope points to."""

import base64
import json
from collections.abc import Callable, Mapping

from app.events.cloudevents import JSON, Event
from app.settings import Settings
from models.base import Rejected, Task


def max_claimed_bytes(settings: Settings, task: Task) -> int:
    """Return the size of the largest payload that a claim check may name: no task takes less than blob storage does."""
    return max(settings.max_blob_bytes, task.max_payload_bytes)


def extract_payload(
    event: Event, fetch: Callable[[str, int], bytes], limit: int, claimed_limit: int | None = None
) -> bytes:
    """Return the payload: the value, the `data_base64` of a JSON value, or the blob at its `uri`.

    A blob may have `claimed_limit` bytes, by default as many as a value. Raises `Rejected`: `bad_envelope`, `empty` or
    `too_large`, and what `fetch` raises.
    """
    payload = event.data
    envelope = _parse_envelope(event)
    if envelope is not None and "uri" in envelope:
        limit = limit if claimed_limit is None else claimed_limit
        payload = fetch(envelope["uri"], limit)
    elif envelope is not None:
        try:
            payload = base64.b64decode(envelope["data_base64"], validate=True)
        except ValueError as error:
            raise Rejected("bad_envelope", f"data_base64 can't be decoded: {error}") from error
    if not payload:
        raise Rejected("empty", "the value is empty; a payload, or JSON with data_base64 or uri, is needed")
    if len(payload) > limit:
        remedy = "" if claimed_limit in (None, limit) else " directly: upload it (POST /v1/blobs), send its claim check"
        raise Rejected("too_large", f"the payload has {len(payload):,} bytes; at most {limit:,} are taken{remedy}")
    return payload


def _parse_envelope(event: Event) -> Mapping[str, str] | None:
    declared = (event.content_type or "").split(";")[0].strip() == JSON
    if not declared and (event.content_type or not event.data.startswith(b"{")):
        return None
    try:
        envelope = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        if declared:
            raise Rejected("bad_envelope", f"content-type is {JSON}, but the value is not JSON: {error}") from error
        return None
    # The response of POST /v1/blobs is accepted as a claim check without change.
    if not isinstance(envelope, dict) or not envelope.keys() <= {"uri", "data_base64", "size", "sha256"}:
        return None
    names = {"uri", "data_base64"} & envelope.keys()
    if len(names) != 1:
        return None
    [name] = names
    text = envelope[name]
    if not isinstance(text, str):
        raise Rejected("bad_envelope", f"{name} is not a string but {type(text).__name__}: a string is needed")
    return {name: text}
