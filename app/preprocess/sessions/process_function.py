"""The keyed function of the Flink job that keeps each live session's state and timers."""

import json
import logging
from collections.abc import Iterator
from typing import Any, cast

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor, ValueState, ValueStateDescriptor

from app.kafka.lag import PREPROCESS_GROUP
from app.preprocess.claim_checks import retry_forever
from app.preprocess.flink_kafka import encode_output
from app.preprocess.isolation import shared_pool
from app.preprocess.isolation.work_item import WorkItem
from app.preprocess.sessions.assembler import SessionAssembler
from app.preprocess.sessions.chunk_headers import session_key
from app.preprocess.sessions.log_clock import POLL_MS, LogClock
from app.preprocess.sessions.session import LiveSession, SessionLimits
from app.settings import Settings


class SessionFunction(KeyedProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Turns chunks, keyed by `chunk_key`, into the records of their requests."""

    def __init__(self, settings: Settings, task: str, limits: SessionLimits) -> None:
        self._settings = settings
        self._task = task
        self._limits = limits

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the state and acquire the workers, which `PreprocessFunction` shares in the same process."""
        logging.getLogger().setLevel(logging.WARNING)
        from app.storage.blob_store import blob_store

        get = retry_forever(blob_store(self._settings).get)
        pool = shared_pool.acquire(self._settings, self._task)
        self._assembler = SessionAssembler(self._task, pool.assemble, get, self._limits)
        self._log_clock = LogClock(self._settings, PREPROCESS_GROUP)
        self._store = _FlinkSessionStore(
            runtime_context.get_state(ValueStateDescriptor("session", Types.STRING())),
            runtime_context.get_map_state(MapStateDescriptor("chunks", Types.LONG(), Types.PICKLED_BYTE_ARRAY())),
        )
        self._timer = runtime_context.get_state(ValueStateDescriptor("timer", Types.LONG()))

    def close(self) -> None:
        """Release the workers."""
        shared_pool.release(self._task)

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes]:
        """Yield the records that one chunk leads to."""
        now = ctx.timer_service().current_processing_time()
        chunk = WorkItem.from_bytes(value)
        headers = tuple((name, data) for name, data in chunk.headers if data is not None)
        records = self._assembler.on_chunk(chunk.origin, chunk.key, chunk.value, headers, self._store, now)
        yield from map(encode_output, records)
        self._schedule_timer(ctx, now)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[bytes]:
        """Yield the records that the passing of time leads to."""
        now = ctx.timer_service().current_processing_time()
        if self._timer.value() == timestamp:
            self._timer.clear()
        topic, source, session_name = json.loads(ctx.get_current_key())
        session = self._store.load()
        if session is not None and session.deadline(self._limits) <= now:
            read_until = self._log_clock.read_until(topic, now)
            yield from map(encode_output, self._assembler.on_time(source, session_name, self._store, read_until))
        self._schedule_timer(ctx, now)

    def _schedule_timer(self, ctx: Any, now: int) -> None:
        """Set a timer for the session's deadline. After the deadline, poll until the log has been read that far."""
        session = self._store.load()
        if session is None:
            return
        due = session.deadline(self._limits)
        due = due if due > now else now + POLL_MS
        timer = self._timer.value()
        if timer is None or due < timer:
            ctx.timer_service().register_processing_time_timer(due)
            self._timer.update(due)


def chunk_key(record: bytes) -> str:
    """Return the identity of a chunk's session."""
    chunk = WorkItem.from_bytes(record)
    return session_key(chunk.origin.topic, dict(chunk.headers))


class _FlinkSessionStore:
    """Flink's state of the current session, which each checkpoint contains."""

    def __init__(self, session: ValueState, chunks: MapState) -> None:
        self._session = session
        self._chunks = chunks

    def load(self) -> LiveSession | None:
        text = self._session.value()
        return None if text is None else LiveSession.from_json(text)

    def save(self, session: LiveSession) -> None:
        self._session.update(session.to_json())

    def put(self, sequence: int, payload: bytes) -> None:
        self._chunks.put(sequence, payload)

    def get(self, sequence: int) -> bytes:
        return cast(bytes, self._chunks.get(sequence))

    def clear(self) -> None:
        self._session.clear()
        self._chunks.clear()
