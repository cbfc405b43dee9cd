"""The keyed function of the Flink job that keeps each live session's state and timers."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor, ValueState, ValueStateDescriptor

from app.kafka.lag import PREPROCESS_GROUP
from app.preprocess.claim_checks import retry_forever
from app.preprocess.functions import OriginResolver
from app.preprocess.isolation import shared_pool
from app.preprocess.sessions.assembler import SessionAssembler
from app.preprocess.sessions.log_clock import POLL_MS, LogClock
from app.preprocess.sessions.session import LiveSession, SessionLimits
from app.settings import Settings


class SessionFunction(KeyedProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Turns rows of chunks, keyed by `session_key`, into rows (topic, key, value, headers) of their requests."""

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
        self._origins = OriginResolver(self._settings)
        self._log_clock = LogClock(self._settings, PREPROCESS_GROUP)
        self._store = _FlinkSessionStore(
            runtime_context.get_state(ValueStateDescriptor("session", Types.STRING())),
            runtime_context.get_map_state(MapStateDescriptor("chunks", Types.LONG(), Types.PICKLED_BYTE_ARRAY())),
        )
        self._timer = runtime_context.get_state(ValueStateDescriptor("timer", Types.LONG()))

    def close(self) -> None:
        """Release the workers."""
        shared_pool.release(self._task)

    def process_element(self, value: Row, ctx: Any) -> Iterator[Row]:
        """Yield the rows that one chunk leads to."""
        now = ctx.timer_service().current_processing_time()
        logged = datetime.fromisoformat(value["logged"])
        origin = self._origins.resolve(value["topic"], value["partition"], value["offset"], logged)
        headers = tuple((name, data) for name, data in value["headers"].items() if data is not None)
        for record in self._assembler.on_chunk(origin, value["key"], value["value"], headers, self._store, now):
            yield Row(record.topic, record.key, record.value, dict(record.headers))
        self._schedule_timer(ctx, now)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[Row]:
        """Yield the rows that the passing of time leads to."""
        now = ctx.timer_service().current_processing_time()
        if self._timer.value() == timestamp:
            self._timer.clear()
        topic, source, session_name = json.loads(ctx.get_current_key())
        session = self._store.load()
        if session is not None and session.deadline(self._limits) <= now:
            read_until = self._log_clock.read_until(topic, now)
            for record in self._assembler.on_time(source, session_name, self._store, read_until):
                yield Row(record.topic, record.key, record.value, dict(record.headers))
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
