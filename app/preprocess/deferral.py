"""The keyed function of the Flink job that keeps slow records in its state until they are answered.

So the records behind them are answered meanwhile, and none is lost: Flink commits an offset only after a checkpoint
holds the deferred records. After a restart each deferred record goes to a worker again.
"""

import marshal
from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from app.preprocess.functions import encode_outputs
from app.preprocess.isolation import shared_pool
from app.preprocess.isolation.work_item import WorkItem
from app.settings import Settings

MIN_POLL_MS, MAX_POLL_MS = 20, 500


class DeferralFunction(KeyedProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Turns slow requests, keyed by `deferral_key`, into the records that answer them."""

    def __init__(self, settings: Settings, task: str) -> None:
        self._settings = settings
        self._task = task

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the state and acquire the workers, which `PreprocessFunction` shares in the same process."""
        self._pool = shared_pool.acquire(self._settings, self._task)
        self._record = runtime_context.get_state(ValueStateDescriptor("record", Types.PICKLED_BYTE_ARRAY()))

    def close(self) -> None:
        """Release the workers."""
        shared_pool.release(self._task)

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes]:
        """Keep the record and set a timer to poll for its answer."""
        now = ctx.timer_service().current_processing_time()
        self._record.update(marshal.dumps((now, *WorkItem.from_bytes(value).to_fields())))
        ctx.timer_service().register_processing_time_timer(now + MIN_POLL_MS)
        yield from ()

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[bytes]:
        """Answer the record if its worker is done; otherwise poll again later."""
        state = self._record.value()
        if state is None:
            return
        deferred_ms, *fields = marshal.loads(state)  # noqa: S302  # our own state
        result = self._pool.poll(WorkItem.from_fields(tuple(fields)))
        if result is None:
            now = ctx.timer_service().current_processing_time()
            wait = min(MAX_POLL_MS, max(MIN_POLL_MS, (now - deferred_ms) // 8))
            ctx.timer_service().register_processing_time_timer(now + wait)
            return
        self._record.clear()
        yield from encode_outputs(self._task, result)


def deferral_key(record: bytes) -> str:
    """Return the key of a deferred record: its position in the log."""
    origin = WorkItem.from_bytes(record).origin
    return f"{origin.topic}/{origin.partition}/{origin.offset}"
