"""Payloads of past requests, read from the log or the archive."""

import asyncio
import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from app.catalog.catalog import Catalog, decode_row
from app.catalog.orm import PredictionRow
from app.eventlog import lookup
from app.events.cloudevents import JSON, ConsumedRecord, complete_event
from app.events.ids import task_of
from app.events.payload import extract_payload, max_claimed_bytes
from app.events.types import PredictionMade, PredictionRequested
from app.settings import Settings
from app.storage.blobs import BlobStore
from models.base import Rejected, Task

MAX_CONCURRENT_READS = 2
"""Each read may load a row group of the archive, which may be 64 MiB."""
OCTET_STREAM = "application/octet-stream"
PDF = "application/pdf"
_BEGINNINGS = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/bmp": rb"BM....\0\0\0\0",
    "image/tiff": rb"II\*\0|MM\0\*",
    "image/webp": rb"RIFF....WEBP",
    "image/avif": rb"....ftypavi[fs]",
    "image/heic": rb"....ftyp(?:heic|heix|mif1)",
    "image/jp2": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    PDF: rb"\s{0,1000}%PDF-",
    "audio/flac": rb"fLaC",
    "audio/ogg": rb"OggS",
    "audio/wav": rb"RIFF....WAVE",
    "audio/aiff": rb"FORM....AIF[FC]",
    "audio/mpeg": rb"ID3|\xff\xfb",
    "audio/mp4": rb"\0...ftyp",
    "audio/webm": rb"\x1a\x45\xdf\xa3",
    "audio/amr": rb"#!AMR",
}
"""How files of these media types begin; the first that fits counts."""
_MEDIA_TYPES = {media_type: re.compile(beginning, re.DOTALL) for media_type, beginning in _BEGINNINGS.items()}
INLINE_TYPES = {*_MEDIA_TYPES, JSON, "text/plain"} - {PDF}
"""Types that a browser may display: none of them can run code."""
_DRAWN_TYPES = {PDF, "image/tiff", "image/heic", "image/jp2"}
_UNKNOWN_TO_BROWSERS = {"audio/aiff", "audio/amr"}
_UNSAFE_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9_.-]")
_MEDIA_TYPE_PATTERN = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")


class PayloadNotFound(Exception):
    """A prediction has no payload; the message has the reason."""


@dataclass(frozen=True)
class Payload:
    """A payload without its envelope. `name` is a valid file name."""

    content: bytes
    media_type: str
    name: str

    @property
    def display(self) -> Literal["image", "pages", "audio", "text", "none"]:
        """How a browser can show it: `pages` by drawn pictures of them; `none` for a file that must be downloaded."""
        if self.media_type in _DRAWN_TYPES:
            return "pages"
        if self.media_type in _UNKNOWN_TO_BROWSERS:
            return "none"
        main_type = self.media_type.partition("/")[0]
        return "image" if main_type == "image" else "audio" if main_type == "audio" else "text"


class PayloadReader:
    """Reads the payloads of predictions. It caches nothing, so erased payloads are gone at once."""

    def __init__(self, settings: Settings, tasks: Mapping[str, Task], catalog: Catalog, store: BlobStore) -> None:
        self._settings = settings
        self._tasks = tasks
        self._catalog = catalog
        self._store = store
        self._read_slots = asyncio.Semaphore(MAX_CONCURRENT_READS)

    async def read(self, prediction_id: str) -> Payload:
        """Return the payload of a prediction's request.

        Raises ValueError for an invalid id, `PayloadNotFound`, and `SetupError`, `Unavailable`, OSError or KafkaError
        if the log or the catalog can't be read.
        """
        task = self._tasks.get(task_of(prediction_id))
        query = await asyncio.to_thread(
            self._catalog.query, lambda connection: _find_request(connection, prediction_id)
        )
        if task is None or query is None:
            raise PayloadNotFound(
                f"no prediction {prediction_id!r} is recorded: it is not recorded yet (that takes a moment after its "
                "answer), it was erased, or the id is wrong"
            )
        try:
            async with self._read_slots:
                records = await lookup.find_request(self._settings, query)
                if not records:
                    raise PayloadNotFound("the request is no longer in the log: it was erased, or its retention ended")
                return await asyncio.to_thread(self._extract_payload, task, prediction_id, records)
        except Rejected as error:
            raise PayloadNotFound(f"the payload can't be read: {error}") from None

    def _extract_payload(self, task: Task, prediction_id: str, records: Sequence[ConsumedRecord]) -> Payload:
        """Return the payload of a request, or of a session's chunks. The first of repeated records counts."""
        events = [
            complete_event(record.headers, record.value or b"", record.origin, PredictionRequested.type)
            for record in records
        ]
        declared = next((event.content_type for event in events if event.content_type is not None), None)
        chunks, limits = dict[int, bytes](), (task.max_payload_bytes, max_claimed_bytes(self._settings, task))
        for event in events:
            number = event.extensions.get("sequence", "")
            if "session" in event.extensions and event.data and number.isdecimal():
                chunks.setdefault(int(number), extract_payload(event, self._store.get, *limits))
        content = (
            task.assemble([chunks[number] for number in sorted(chunks)])
            if "session" in events[0].extensions
            else extract_payload(events[0], self._store.get, *limits)
        )
        media_type = detect_media_type(content, declared)
        suffix = mimetypes.guess_extension(media_type) or ".bin"
        return Payload(content, media_type, _UNSAFE_NAME_CHARACTER.sub("-", prediction_id) + suffix)


def _find_request(connection: Connection, prediction_id: str) -> lookup.RequestQuery | None:
    row = connection.execute(
        select(PredictionRow.__table__).where(PredictionRow.prediction_id == prediction_id)
    ).one_or_none()
    if row is None:
        return None
    return lookup.RequestQuery.from_prediction(
        decode_row(row, PredictionMade), row.request_source, row.time, row.logged
    )


def detect_media_type(content: bytes, declared: str | None) -> str:
    """Return the media type by the payload's first bytes, or else the declared one, unless that is our envelope's."""
    for media_type, beginning in _MEDIA_TYPES.items():
        if beginning.match(content):
            return media_type
    declared_type = (declared or "").partition(";")[0].strip().lower()
    if _MEDIA_TYPE_PATTERN.fullmatch(declared_type) and declared_type != JSON:
        return declared_type
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return OCTET_STREAM
    return JSON
