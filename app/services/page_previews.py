"""Pictures of the pages of payloads, drawn in a process of its own: no decoder reads a stranger's file in this one."""

import asyncio
import hashlib
import sys
from collections import OrderedDict
from math import ceil

from app.errors import Unavailable
from app.preprocess.isolation.worker_process import (
    DeadlineExceeded,
    WorkerCommand,
    WorkerDied,
    WorkerProcess,
    WorkerUnstartable,
)
from app.services.payloads import PayloadReader
from app.settings import Settings
from models.base import Rejected
from models.vision.previews import MAX_PIXELS, Preview

MAX_CACHED = 16
IDLE_SECONDS = 60.0
"""The process ends after this time without a page to draw, to free its memory."""
_GRACE_SECONDS = 10


class PagePreviews:
    """Draws pages one at a time, in one process that starts with the first of them.

    A cached page is returned only as long as its payload can be read, so that erased payloads are gone at once.
    """

    def __init__(self, settings: Settings, payloads: PayloadReader) -> None:
        self._payloads = payloads
        self._deadline = settings.preprocess_deadline_seconds
        limits = str(settings.preprocess_memory_mib), str(ceil(self._deadline) + _GRACE_SECONDS)
        self._command = WorkerCommand([sys.executable, "-m", "app.preprocess.preview_main", *limits], {})
        self._turn = asyncio.Lock()
        self._worker: WorkerProcess | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._cache: OrderedDict[tuple[str, int, int], Preview] = OrderedDict()

    async def read(self, prediction_id: str, page: int, max_pixels: int = MAX_PIXELS) -> Preview:
        """Return a page, counted from 0, of the payload of a prediction's request.

        Raises what `PayloadReader.read` does, and `Rejected` for a file that can't be shown, or without that page.
        """
        async with self._turn:
            payload = await self._payloads.read(prediction_id)
            key = hashlib.sha256(payload.content).hexdigest(), page, max_pixels
            if key not in self._cache:
                self._cache[key] = await self._draw(payload.content, page, max_pixels)
            self._cache.move_to_end(key)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
            return self._cache[key]

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            if self._retirement is not None:
                self._retirement.cancel()
            await asyncio.to_thread(self._end_worker)

    async def _draw(self, content: bytes, page: int, max_pixels: int) -> Preview:
        if self._retirement is not None:
            self._retirement.cancel()
        drawing = asyncio.create_task(asyncio.to_thread(self._draw_in_worker, content, page, max_pixels))
        try:
            return await asyncio.shield(drawing)
        finally:
            await asyncio.wait([drawing])  # a viewer who leaves must not let the next page's message into this one
            self._retirement = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire)

    def _draw_in_worker(self, content: bytes, page: int, max_pixels: int) -> Preview:
        worker = self._worker = self._worker or WorkerProcess(self._command, self._deadline)
        worker.submit((content, page, max_pixels))
        try:
            worker.wait_ready()
            answer = worker.wait(2 * self._deadline)
        except DeadlineExceeded:
            self._end_worker()
            raise Rejected("preview_timeout", f"drawing the page took longer than {self._deadline:g} s") from None
        except WorkerDied as error:
            self._end_worker()
            raise Rejected("kills_process", f"the process that drew the page died: {error}") from error
        except WorkerUnstartable as error:
            self._end_worker()
            raise Unavailable(f"no page can be drawn: {error}") from error
        assert answer is not None  # the deadline comes first
        if answer[0] == "refused":
            raise Rejected(*answer[1:])
        return Preview(*answer[1:])

    def _retire(self) -> None:
        if not self._turn.locked():
            worker, self._worker = self._worker, None
            if worker is not None:
                asyncio.get_running_loop().run_in_executor(None, worker.kill)

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
