"""The keyed function of the Flink job for records that take long: they are its state until they are answered.

So the records behind them are answered meanwhile, and none is lost: Flink commits no offset before its checkpoint holds
what is deferred. After a restart each is handed to a worker anew.
"""

import marshal
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from app.events.cloudevents import Origin, TopicId
from app.preprocess.functions import OriginResolver, to_rows
from app.preprocess.isolation import pool
from app.preprocess.isolation.pool import WorkItem
from app.settings import Settings

MIN_POLL_MS, MAX_POLL_MS = 20, 500


class DeferralFunction(KeyedProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Rows (topic, key, value, headers) that answer a request, from a row of the request, keyed by its place."""

    def __init__(self, settings: Settings, task: str) -> None:
        self._settings = settings
        self._task = task

    def open(self, runtime_context: RuntimeContext) -> None:
        """Share the workers of `Preprocess`, where both are in one process."""
        self._origins = OriginResolver(self._settings)
        self._pool = pool.acquire(self._settings, self._task)
        self._record = runtime_context.get_state(ValueStateDescriptor("record", Types.PICKLED_BYTE_ARRAY()))

    def close(self) -> None:
        """The instance ends in good order."""
        pool.release(self._task)

    def process_element(self, value: Row, ctx: Any) -> Iterator[Row]:
        """Keep the record and look for its answer later."""
        now = ctx.timer_service().current_processing_time()
        origin = self._origins.resolve(
            value["topic"], value["partition"], value["offset"], datetime.fromisoformat(value["logged"])
        )
        where = (origin.topic_id, origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
        headers = tuple((value["headers"] or {}).items())
        self._record.update(marshal.dumps((now, where, value["key"], value["value"], headers)))
        ctx.timer_service().register_processing_time_timer(now + MIN_POLL_MS)
        yield from ()

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[Row]:
        """Answer the record, if its worker is done by now."""
        kept = self._record.value()
        if kept is None:
            return
        since, (epoch, *where), key, value, headers = marshal.loads(kept)  # noqa: S302  # our own state
        outputs = self._pool.poll(WorkItem(Origin(TopicId(epoch), *where), key, value, headers))
        if outputs is None:
            now = ctx.timer_service().current_processing_time()
            wait = min(MAX_POLL_MS, max(MIN_POLL_MS, (now - since) // 8))
            ctx.timer_service().register_processing_time_timer(now + wait)
            return
        self._record.clear()
        yield from to_rows(self._task, outputs)


def deferral_key(row: Row) -> str:
    """The key of a deferred record."""
    return f"{row['topic']}/{row['partition']}/{row['offset']}"
