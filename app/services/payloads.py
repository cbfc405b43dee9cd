"""The payload of a past request, from the log or the archive."""

import asyncio
import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from app.catalog.catalog import Catalog, read_row
from app.catalog.orm import Prediction
from app.eventlog import lookup
from app.events.cloudevents import JSON, Incoming, complete
from app.events.ids import task_of
from app.events.payload import payload_of
from app.events.types import PredictionMade, PredictionRequested
from app.settings import Settings
from app.storage.blobs import BlobStore
from models.base import Rejected, Task

MOST_AT_ONCE = 2
"""Look-ups at a time: each may read a row group of the archive, which may be 64 MiB."""
OCTET_STREAM = "application/octet-stream"
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"RIFF": "audio/wav",
}
INLINE_TYPES = {*_MAGIC.values(), JSON, "text/plain"}
"""What a browser may show in its place: none of these can run anything."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")


class NoPayload(Exception):
    """There is no payload of this prediction; the message says why."""


@dataclass(frozen=True)
class Payload:
    """What was predicted of, taken out of its envelope. `name` would do for a file."""

    content: bytes
    media_type: str
    name: str


class Payloads:
    """The payloads of predictions, found in the log. Nothing of them is kept: what is erased is gone."""

    def __init__(self, settings: Settings, tasks: Mapping[str, Task], catalog: Catalog, store: BlobStore) -> None:
        self._settings = settings
        self._tasks = tasks
        self._catalog = catalog
        self._store = store
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def of(self, prediction_id: str) -> Payload:
        """The payload of a prediction's request.

        Raises ValueError for what is no prediction's id, `NoPayload`, and where it can't be looked for `SetupError`,
        `Unavailable`, OSError or KafkaError.
        """
        task = self._tasks.get(task_of(prediction_id))
        asked = await asyncio.to_thread(self._catalog.ask, lambda connection: _asked(connection, prediction_id))
        if task is None or asked is None:
            raise NoPayload(
                f"no prediction {prediction_id!r} is recorded: it is not yet (it is a moment after its answer), it was "
                "erased, or the id is wrong"
            )
        try:
            async with self._turns:
                found = await lookup.request(self._settings, asked)
                if not found:
                    raise NoPayload("the request is not in the log any more: it was erased, or its days are over")
                return await asyncio.to_thread(self._payload, task, prediction_id, found)
        except Rejected as error:
            raise NoPayload(f"the payload can't be had: {error}") from None

    def _payload(self, task: Task, prediction_id: str, records: Sequence[Incoming]) -> Payload:
        """Of one request, or of a session's chunks: of a repeated one the first."""
        events = [complete(one.headers, one.value or b"", one.origin, PredictionRequested.type) for one in records]
        declared = next((event.content_type for event in events if event.content_type is not None), None)
        limit, chunks = task.max_payload_bytes, dict[int, bytes]()
        for event in events:
            number = event.extensions.get("sequence", "")
            if "session" in event.extensions and event.data and number.isdecimal():
                chunks.setdefault(int(number), payload_of(event, self._store.get, limit))
        content = (
            task.assemble([chunks[number] for number in sorted(chunks)])
            if "session" in events[0].extensions
            else payload_of(events[0], self._store.get, limit)
        )
        media_type = media_type_of(content, declared)
        suffix = mimetypes.guess_extension(media_type) or ".bin"
        return Payload(content, media_type, _UNSAFE.sub("-", prediction_id) + suffix)


def _asked(connection: Connection, prediction_id: str) -> lookup.Asked | None:
    row = connection.execute(
        select(Prediction.__table__).where(Prediction.prediction_id == prediction_id)
    ).one_or_none()
    if row is None:
        return None
    return lookup.Asked.by(read_row(row, PredictionMade), row.request_source, row.time, row.logged)


def media_type_of(content: bytes, declared: str | None) -> str:
    """What a payload is: by its first bytes, or as the application has declared it, unless that is our envelope."""
    for magic, media_type in _MAGIC.items():
        if content.startswith(magic):
            return media_type
    said = (declared or "").partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(said) and said != JSON:
        return said
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return OCTET_STREAM
    return JSON
