"""Joins the chunks of live sessions, the records with `ce_session`, into requests."""

import json
from collections.abc import Callable, Sequence
from typing import Protocol

from app.events import topics
from app.events.answers import build_dead_letter, build_failed_prediction
from app.events.cloudevents import Event, Headers, Origin, Record, TopicId, complete_event, event_identity
from app.events.payload import extract_payload
from app.events.types import Failure, PredictionRequested
from app.monitoring import metrics
from app.preprocess.preprocessor import MAX_KEY_BYTES, STAGE
from app.preprocess.sessions.chunk_headers import parse_chunk, request_attributes
from app.preprocess.sessions.session import Chunk, ChunkStatus, LiveSession, SessionLimits
from app.settings import MiB, Settings
from models.base import Rejected, Task

_MAX_HEADER_BYTES = 128 * 1024
"""Bound of what a request's record holds beside its payload: its key and its attributes."""
_OCTET_STREAM = "application/octet-stream"


class SessionStore(Protocol):
    """The state of one session."""

    def load(self) -> LiveSession | None:
        """Return the session; None if there is none."""

    def save(self, session: LiveSession) -> None:
        """Keep the session."""

    def put(self, sequence: int, payload: bytes) -> None:
        """Keep a chunk."""

    def get(self, sequence: int) -> bytes:
        """Return a chunk that was kept."""

    def clear(self) -> None:
        """Remove the session and its chunks."""


def session_limits(settings: Settings, task: Task) -> SessionLimits:
    """Return the limits of a session of the task. They keep its request within what the requests topic takes."""
    return SessionLimits(
        total_bytes=settings.sessions_mib * MiB,
        bytes=min(settings.session_bytes, task.max_payload_bytes, settings.max_payload_bytes - _MAX_HEADER_BYTES),
        chunks=settings.session_chunks,
        ms=round(settings.session_seconds * 1000),
        gap_ms=round(settings.session_gap_seconds * 1000),
        idle_ms=round(settings.session_idle_seconds * 1000),
        partial_ms=round(settings.session_partial_seconds * 1000),
    )


def assemble_chunks(task: Task, chunks: Sequence[bytes]) -> bytes:
    """Join a session's chunks into its payload. Raises `Rejected`."""
    try:
        return bytes(task.assemble(chunks))
    except Rejected:
        raise
    except Exception as error:  # a failure of the task's code affects this session only
        raise Rejected("assemble_error", f"{type(error).__name__}: {error}") from error


ChunkAssembler = Callable[[Sequence[bytes]], bytes]


class SessionAssembler:
    """Handles the sessions of one task.

    `assemble` joins chunks like `assemble_chunks`; `fetch` reads a `blob://` URI of at most so many bytes.
    """

    def __init__(
        self, task: str, assemble: ChunkAssembler, fetch: Callable[[str, int], bytes], limits: SessionLimits
    ) -> None:
        self._task = task
        self._assemble = assemble
        self._fetch = fetch
        self._open_session_bytes: dict[tuple[str, str], int] = {}
        """Bytes of the open sessions of which this instance got a chunk."""
        self._total_open_bytes = 0
        self._limits = limits

    def on_chunk(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, store: SessionStore, now: int
    ) -> Sequence[Record]:
        """Return the records that a chunk leads to. No content of the chunk raises."""
        record = Record(origin.topic, key, value, headers)
        event = None
        try:
            event = complete_event(headers, value or b"", origin, PredictionRequested.type)
            name, sequence, final = parse_chunk(event)
            payload = extract_payload(event, self._fetch, self._limits.bytes) if event.data else b""
        except Rejected as error:  # the session may continue without this chunk
            event_id = (event.source, event.id) if event else event_identity(headers, origin)
            return self._reject(error, record, origin, event_id, event_id, event)
        session = store.load() or LiveSession(origin.timestamp_ms, now, request_attributes(event, key))
        try:
            self._check_total_bytes(session, len(payload))
            status = session.add(Chunk(sequence, final, len(payload), origin.timestamp_ms), self._limits, now)
        except Rejected as error:
            session.close(now, failed=True)
            self._track_bytes(event.source, name, 0)
            store.clear()
            store.save(session)
            return self._reject(error, record, origin, (event.source, event.id), (event.source, name), event)
        if status is ChunkStatus.LATE:
            late = Rejected("late_chunk", f"chunk {sequence} of session {name!r} came after it had been given up")
            return self._reject(late, record, origin, (event.source, event.id), None, event)
        if status is ChunkStatus.DUPLICATE:
            return ()
        store.put(sequence, payload)
        self._track_bytes(event.source, name, session.size)
        session.said["origin"] = json.dumps([origin.topic_id, origin.partition, origin.offset, origin.timestamp_ms])
        return self._build_requests(session, event.source, name, store, now)

    def _check_total_bytes(self, session: LiveSession, size: int) -> None:
        if session.closed_ms is None and self._total_open_bytes + size > self._limits.total_bytes:
            raise Rejected(
                "too_many_sessions",
                f"the open sessions of {self._task} have {self._total_open_bytes:,} bytes; "
                f"at most {self._limits.total_bytes:,} are kept",
            )

    def _track_bytes(self, source: str, name: str, size: int) -> None:
        """Set the bytes that a session keeps: 0 once it is closed."""
        self._total_open_bytes += size - self._open_session_bytes.pop((source, name), 0)
        if size:
            self._open_session_bytes[source, name] = size

    def on_time(self, source: str, name: str, store: SessionStore, read_until: int) -> Sequence[Record]:
        """Return the records that the passing of time leads to.

        `read_until` is the time up to which the log has been read, in milliseconds since 1970.
        """
        session = store.load()
        if session is None:
            return ()
        if session.is_forgotten(read_until):
            store.clear()
            return ()
        if session.closed_ms is not None:
            return ()
        session.expire(self._limits, read_until)
        return self._build_requests(session, source, name, store, read_until)

    def _build_requests(
        self, session: LiveSession, source: str, name: str, store: SessionStore, now: int
    ) -> Sequence[Record]:
        origin = Origin(*_last_chunk_origin(topics.requests(self._task), session))
        complete = session.is_complete
        records: Sequence[Record] = ()
        if complete or session.partial_due(origin.timestamp_ms, self._limits):
            chunks = [store.get(number) for number in sorted(set(range(session.next)) - set(session.missing))]
            records = self._build_request(session, origin, source, name, chunks)
        if complete:
            self._track_bytes(source, name, 0)
            session.close(now)
            store.clear()
        store.save(session)
        return records

    def _build_request(
        self, session: LiveSession, origin: Origin, source: str, name: str, chunks: Sequence[bytes]
    ) -> Sequence[Record]:
        attributes = session.said
        partial = {} if session.is_complete else {"partial": "true"}
        missing = {"missing": str(len(session.missing))} if session.missing else {}
        event = Event(
            id=f"{name}/{session.next - 1}" if partial else name,
            type=PredictionRequested.type,
            source=source,
            time=attributes["time"],
            data=b"",
            subject=attributes.get("subject"),
            content_type=attributes.get("content_type", _OCTET_STREAM),
            traceparent=attributes.get("traceparent"),
            extensions={**partial, **missing, **({"replay": attributes["replay"]} if "replay" in attributes else {})},
        )
        key = attributes["key"].encode("latin-1") if "key" in attributes else None
        try:
            payload = self._assemble(chunks)
        except Rejected as error:
            if partial:
                return ()
            record = Record(topics.requests(self._task), key, b"".join(chunks), event.to_headers())
            return self._reject(error, record, origin, (source, name), (source, name), event)
        return (Record(topics.requests(self._task), key, payload, event.to_headers()),)

    def _reject(
        self,
        error: Rejected,
        record: Record,
        origin: Origin,
        event_id: tuple[str, str],
        request_id: tuple[str, str] | None,
        event: Event | None,
    ) -> Sequence[Record]:
        """Return the dead letter of a record, and the answer to the request with `request_id`, if there is one."""
        failure = Failure(stage=STAGE, code=error.code, reason=str(error))
        reference, letter = build_dead_letter(record, origin, failure, event_id)
        if request_id is None:
            metrics.count_failure(self._task, STAGE, error.code)
            return (letter,)
        metrics.count_rejection(self._task, STAGE, error.code)
        key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
        return letter, build_failed_prediction(self._task, request_id, failure, reference, key, event)


def _last_chunk_origin(topic: str, session: LiveSession) -> tuple[TopicId, str, int, int, int]:
    """Return the fields of the `Origin` of the session's last chunk."""
    topic_id, partition, offset, timestamp_ms = json.loads(session.said["origin"])
    return TopicId(topic_id), topic, partition, offset, timestamp_ms
