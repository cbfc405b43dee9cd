"""From the chunks of live sessions to requests: what the Flink job does with a record that has `ce_session`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.events import topics
from app.events.answers import build_dead_letter, build_failed_prediction
from app.events.cloudevents import (
    JSON,
    Event,
    Headers,
    Origin,
    Record,
    TopicId,
    complete_event,
    event_identity,
    header_text,
)
from app.events.payload import extract_payload
from app.events.types import Failure, PredictionRequested
from app.monitoring import metrics
from app.preprocess.preprocessor import MAX_KEY_BYTES, STAGE
from app.preprocess.sessions.session import Chunk, ChunkStatus, LiveSession, SessionLimits
from app.settings import MiB, Settings
from models.base import Rejected, Task

MAX_SESSION_NAME_LENGTH = 200
"""Characters of a session's name: with a sequence it is a request's id."""
_MAX_HEADER_BYTES = 128 * 1024
"""What a request's record needs beside its payload, at most: its key and its attributes."""
_OCTET_STREAM = "application/octet-stream"


class SessionStore(Protocol):
    """What is kept of one session."""

    def load(self) -> LiveSession | None:
        """The session; None where nothing is known of it."""

    def save(self, session: LiveSession) -> None:
        """Keep the session."""

    def put(self, sequence: int, payload: bytes) -> None:
        """Keep a chunk."""

    def get(self, sequence: int) -> bytes:
        """A chunk that was kept."""

    def forget(self) -> None:
        """Keep nothing, neither of the session nor of its chunks."""


def session_key(topic: str, headers: Mapping[str, bytes | None]) -> str:
    """The session of a chunk, as text, whatever its headers hold: topic, source and session."""
    items = [(name, value) for name, value in headers.items() if value is not None]
    source = header_text(items, "ce_source") or f"kafka:{topic}"
    return json.dumps([topic, source, header_text(items, "ce_session")])


def session_limits(settings: Settings, task: Task) -> SessionLimits:
    """What a session of the task may take: what it becomes must be a request that the topic takes."""
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
    """Return the payload of a session's chunks. Raises `Rejected`."""
    try:
        return bytes(task.assemble(chunks))
    except Rejected:
        raise
    except Exception as error:  # whatever a task stumbles over is that session's, not its neighbours'
        raise Rejected("assemble_error", f"{type(error).__name__}: {error}") from error


ChunkAssembler = Callable[[Sequence[bytes]], bytes]


class SessionAssembler:
    """Handles the sessions of one task; `assemble` joins chunks as `assembled` does, `fetch` reads a `blob://` URI."""

    def __init__(
        self, task: str, assemble: ChunkAssembler, fetch: Callable[[str, int], bytes], limits: SessionLimits
    ) -> None:
        self._task = task
        self._assemble = assemble
        self._fetch = fetch
        self._open_session_bytes: dict[tuple[str, str], int] = {}
        """Bytes of the open sessions that this instance has heard of, and their sum."""
        self._total_open_bytes = 0
        self.limits = limits

    def on_chunk(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, store: SessionStore, now: int
    ) -> Sequence[Record]:
        """The records that a chunk leads to. Never raises for what it holds."""
        record = Record(origin.topic, key, value, headers)
        event = None
        try:
            event = complete_event(headers, value or b"", origin, PredictionRequested.type)
            name, sequence, final = _parse_chunk(event)
            payload = extract_payload(event, self._fetch, self.limits.bytes) if event.data else b""
        except Rejected as error:  # the session may go on without it
            unique = (event.source, event.id) if event else event_identity(headers, origin)
            return self._reject(error, record, origin, unique, unique, event)
        session = store.load() or LiveSession(origin.timestamp_ms, now, _request_attributes(event, key))
        try:
            self._check_total_bytes(session, len(payload))
            taken = session.add(Chunk(sequence, final, len(payload), origin.timestamp_ms), self.limits, now)
        except Rejected as error:
            session.close(now, failed=True)
            self._track_bytes(event.source, name, 0)
            store.forget()
            store.save(session)
            return self._reject(error, record, origin, (event.source, event.id), (event.source, name), event)
        if taken is ChunkStatus.LATE:
            late = Rejected("late_chunk", f"chunk {sequence} of session {name!r} came after it had been given up")
            return self._reject(late, record, origin, (event.source, event.id), None, event)
        if taken is ChunkStatus.DUPLICATE:
            return ()
        store.put(sequence, payload)
        self._track_bytes(event.source, name, session.size)
        session.said["origin"] = json.dumps([origin.topic_id, origin.partition, origin.offset, origin.timestamp_ms])
        return self._build_requests(session, event.source, name, store, now)

    def _check_total_bytes(self, session: LiveSession, size: int) -> None:
        if session.closed_ms is None and self._total_open_bytes + size > self.limits.total_bytes:
            raise Rejected(
                "too_many_sessions",
                f"the open sessions of {self._task} have {self._total_open_bytes:,} bytes; "
                f"at most {self.limits.total_bytes:,} are kept",
            )

    def _track_bytes(self, source: str, name: str, size: int) -> None:
        """A session keeps so many bytes now; 0 once it is closed."""
        self._total_open_bytes += size - self._open_session_bytes.pop((source, name), 0)
        if size:
            self._open_session_bytes[source, name] = size

    def on_time(self, source: str, name: str, store: SessionStore, read_until: int) -> Sequence[Record]:
        """The records that time leads to: the log is read until then (milliseconds since 1970)."""
        session = store.load()
        if session is None:
            return ()
        if session.is_forgotten(read_until):
            store.forget()
            return ()
        if session.closed_ms is not None:
            return ()
        session.expire(self.limits, read_until)
        return self._build_requests(session, source, name, store, read_until)

    def _build_requests(
        self, session: LiveSession, source: str, name: str, store: SessionStore, now: int
    ) -> Sequence[Record]:
        origin = Origin(*_last_chunk_origin(topics.requests(self._task), session))
        complete = session.is_complete
        records: Sequence[Record] = ()
        if complete or session.partial_due(origin.timestamp_ms, self.limits):
            there = [store.get(number) for number in sorted(set(range(session.next)) - set(session.missing))]
            records = self._build_request(session, origin, source, name, there)
        if complete:
            self._track_bytes(source, name, 0)
            session.close(now)
            store.forget()
        store.save(session)
        return records

    def _build_request(
        self, session: LiveSession, origin: Origin, source: str, name: str, chunks: Sequence[bytes]
    ) -> Sequence[Record]:
        said = session.said
        partial = {} if session.is_complete else {"partial": "true"}
        missing = {"missing": str(len(session.missing))} if session.missing else {}
        event = Event(
            id=f"{name}/{session.next - 1}" if partial else name,
            type=PredictionRequested.type,
            source=source,
            time=said["time"],
            data=b"",
            subject=said.get("subject"),
            content_type=said.get("content_type", _OCTET_STREAM),
            traceparent=said.get("traceparent"),
            extensions={**partial, **missing, **({"replay": said["replay"]} if "replay" in said else {})},
        )
        key = said["key"].encode("latin-1") if "key" in said else None
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
        answered: tuple[str, str] | None,
        event: Event | None,
    ) -> Sequence[Record]:
        """The dead letter of a record, and the answer to whom it is `answered`."""
        failure = Failure(stage=STAGE, code=error.code, reason=str(error))
        reference, letter = build_dead_letter(record, origin, failure, event_id)
        if answered is None:
            metrics.count_failure(self._task, STAGE, error.code)
            return (letter,)
        metrics.count_rejection(self._task, STAGE, error.code)
        key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
        return letter, build_failed_prediction(self._task, answered, failure, reference, key, event)


def _parse_chunk(event: Event) -> tuple[str, int, bool]:
    name, number = event.extensions.get("session", ""), event.extensions.get("sequence", "")
    final = event.extensions.get("final", "false")
    if not 1 <= len(name) <= MAX_SESSION_NAME_LENGTH:
        raise Rejected("bad_chunk", f"ce_session has {len(name)} characters; 1 to {MAX_SESSION_NAME_LENGTH} are needed")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Rejected("bad_chunk", f"ce_sequence is {number!r}; 0, 1, 2, .. is needed")
    if final not in ("true", "false"):
        raise Rejected("bad_chunk", f"ce_final is {final!r}; true or false is needed")
    return name, int(number), final == "true"


def _request_attributes(event: Event, key: bytes | None) -> dict[str, str]:
    """What the session's request takes over from its first chunk."""
    json_type = (event.content_type or "").split(";")[0].strip() == JSON  # an envelope, which is opened
    said = {
        "time": event.time,
        "key": None if key is None else key.decode("latin-1"),
        "subject": event.subject,
        "content_type": None if json_type else event.content_type,
        "traceparent": event.traceparent,
        "replay": event.extensions.get("replay"),
    }
    return {name: text for name, text in said.items() if text is not None}


def _last_chunk_origin(topic: str, session: LiveSession) -> tuple[TopicId, str, int, int, int]:
    """Where the session's last chunk stands."""
    epoch, partition, offset, timestamp = json.loads(session.said["origin"])
    return TopicId(epoch), topic, partition, offset, timestamp
