"""From the chunks of live sessions to requests: what the Flink job does with a record that has `ce_session`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.events import topics
from app.events.answers import dead_letter, failed
from app.events.cloudevents import JSON, Event, Headers, LogEpoch, Origin, Record, complete, header, identity
from app.events.payload import payload_of
from app.events.types import Failure, PredictionRequested
from app.monitoring import metrics
from app.preprocess.preprocessor import MAX_KEY, STAGE
from app.preprocess.sessions.session import Chunk, Limits, Session, Taken
from app.settings import MiB, Settings
from models.base import Rejected, Task

MAX_SESSION = 200
"""Characters of a session's name: with a sequence it is a request's id."""
_HEADERS = 128 * 1024
"""What a request's record needs beside its payload, at most: its key and its attributes."""
_BYTES = "application/octet-stream"


class Kept(Protocol):
    """What is kept of one session."""

    def load(self) -> Session | None:
        """The session; None where nothing is known of it."""

    def save(self, session: Session) -> None:
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
    source = header(items, "ce_source") or f"kafka:{topic}"
    return json.dumps([topic, source, header(items, "ce_session")])


def limits(settings: Settings, task: Task) -> Limits:
    """What a session of the task may take: what it becomes must be a request that the topic takes."""
    return Limits(
        total_bytes=settings.sessions_mib * MiB,
        bytes=min(settings.session_bytes, task.max_payload_bytes, settings.max_payload_bytes - _HEADERS),
        chunks=settings.session_chunks,
        ms=round(settings.session_seconds * 1000),
        gap_ms=round(settings.session_gap_seconds * 1000),
        idle_ms=round(settings.session_idle_seconds * 1000),
        partial_ms=round(settings.session_partial_seconds * 1000),
    )


def assembled(task: Task, chunks: Sequence[bytes]) -> bytes:
    """Return the payload of a session's chunks. Raises `Rejected`."""
    try:
        return bytes(task.assemble(chunks))
    except Rejected:
        raise
    except Exception as error:  # whatever a task stumbles over is that session's, not its neighbours'
        raise Rejected("assemble_error", f"{type(error).__name__}: {error}") from error


Assemble = Callable[[Sequence[bytes]], bytes]


class Assembler:
    """Handles the sessions of one task; `assemble` joins chunks as `assembled` does, `fetch` reads a `blob://` URI."""

    def __init__(self, task: str, assemble: Assemble, fetch: Callable[[str, int], bytes], limits: Limits) -> None:
        self._task = task
        self._assemble = assemble
        self._fetch = fetch
        self._open: dict[tuple[str, str], int] = {}
        """Bytes of the open sessions that this instance has heard of, and their sum."""
        self._open_bytes = 0
        self.limits = limits

    def chunk(
        self, origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, kept: Kept, now: int
    ) -> Sequence[Record]:
        """The records that a chunk leads to. Never raises for what it holds."""
        record = Record(origin.topic, key, value, headers)
        event = None
        try:
            event = complete(headers, value or b"", origin, PredictionRequested.type)
            name, sequence, final = _place(event)
            payload = payload_of(event, self._fetch, self.limits.bytes) if event.data else b""
        except Rejected as error:  # the session may go on without it
            unique = (event.source, event.id) if event else identity(headers, origin)
            return self._refused(error, record, origin, unique, unique, event)
        session = kept.load() or Session(origin.timestamp_ms, now, _said(event, key))
        try:
            self._check_sum(session, len(payload))
            taken = session.take(Chunk(sequence, final, len(payload), origin.timestamp_ms), self.limits, now)
        except Rejected as error:
            session.close(now, failed=True)
            self._account(event.source, name, 0)
            kept.forget()
            kept.save(session)
            return self._refused(error, record, origin, (event.source, event.id), (event.source, name), event)
        if taken is Taken.LATE:
            late = Rejected("late_chunk", f"chunk {sequence} of session {name!r} came after it had been given up")
            return self._refused(late, record, origin, (event.source, event.id), None, event)
        if taken is Taken.REPEATED:
            return ()
        kept.put(sequence, payload)
        self._account(event.source, name, session.size)
        session.said["origin"] = json.dumps([origin.epoch, origin.partition, origin.offset, origin.timestamp_ms])
        return self._requests(session, event.source, name, kept, now)

    def _check_sum(self, session: Session, size: int) -> None:
        if session.closed_ms is None and self._open_bytes + size > self.limits.total_bytes:
            raise Rejected(
                "too_many_sessions",
                f"the open sessions of {self._task} have {self._open_bytes:,} bytes; "
                f"at most {self.limits.total_bytes:,} are kept",
            )

    def _account(self, source: str, name: str, size: int) -> None:
        """A session keeps so many bytes now; 0 once it is closed."""
        self._open_bytes += size - self._open.pop((source, name), 0)
        if size:
            self._open[source, name] = size

    def time(self, source: str, name: str, kept: Kept, read_until: int) -> Sequence[Record]:
        """The records that time leads to: the log is read until then (milliseconds since 1970)."""
        session = kept.load()
        if session is None:
            return ()
        if session.forgotten(read_until):
            kept.forget()
            return ()
        if session.closed_ms is not None:
            return ()
        session.wait(self.limits, read_until)
        return self._requests(session, source, name, kept, read_until)

    def _requests(self, session: Session, source: str, name: str, kept: Kept, now: int) -> Sequence[Record]:
        origin = Origin(*_origin(topics.requests(self._task), session))
        complete = session.complete
        records: Sequence[Record] = ()
        if complete or session.partial_due(origin.timestamp_ms, self.limits):
            there = [kept.get(number) for number in sorted(set(range(session.next)) - set(session.missing))]
            records = self._request(session, origin, source, name, there)
        if complete:
            self._account(source, name, 0)
            session.close(now)
            kept.forget()
        kept.save(session)
        return records

    def _request(
        self, session: Session, origin: Origin, source: str, name: str, chunks: Sequence[bytes]
    ) -> Sequence[Record]:
        said = session.said
        partial = {} if session.complete else {"partial": "true"}
        missing = {"missing": str(len(session.missing))} if session.missing else {}
        event = Event(
            id=f"{name}/{session.next - 1}" if partial else name,
            type=PredictionRequested.type,
            source=source,
            time=said["time"],
            data=b"",
            subject=said.get("subject"),
            content_type=said.get("content_type", _BYTES),
            traceparent=said.get("traceparent"),
            extensions={**partial, **missing, **({"replay": said["replay"]} if "replay" in said else {})},
        )
        key = said["key"].encode("latin-1") if "key" in said else None
        try:
            payload = self._assemble(chunks)
        except Rejected as error:
            if partial:
                return ()
            record = Record(topics.requests(self._task), key, b"".join(chunks), event.headers())
            return self._refused(error, record, origin, (source, name), (source, name), event)
        return (Record(topics.requests(self._task), key, payload, event.headers()),)

    def _refused(
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
        reference, letter = dead_letter(record, origin, failure, event_id)
        if answered is None:
            metrics.failed(self._task, STAGE, error.code)
            return (letter,)
        metrics.rejected(self._task, STAGE, error.code)
        key = record.key if len(record.key or b"") <= MAX_KEY else None
        return letter, failed(self._task, answered, failure, reference, key, event)


def _place(event: Event) -> tuple[str, int, bool]:
    name, number = event.extensions.get("session", ""), event.extensions.get("sequence", "")
    final = event.extensions.get("final", "false")
    if not 1 <= len(name) <= MAX_SESSION:
        raise Rejected("bad_chunk", f"ce_session has {len(name)} characters; 1 to {MAX_SESSION} are needed")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Rejected("bad_chunk", f"ce_sequence is {number!r}; 0, 1, 2, .. is needed")
    if final not in ("true", "false"):
        raise Rejected("bad_chunk", f"ce_final is {final!r}; true or false is needed")
    return name, int(number), final == "true"


def _said(event: Event, key: bytes | None) -> dict[str, str]:
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


def _origin(topic: str, session: Session) -> tuple[LogEpoch, str, int, int, int]:
    """Where the session's last chunk stands."""
    epoch, partition, offset, timestamp = json.loads(session.said["origin"])
    return LogEpoch(epoch), topic, partition, offset, timestamp
