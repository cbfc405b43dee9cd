"""The id of each prediction's last outcome, so that what was published already needn't be published again.

A cache: when it is lost, in part or whole, outcomes are published that are in the log already, under the same ids.
Nothing else may depend on it. It holds no more than an id, for what a worker that has just lost a partition writes may
come after what the new one writes: an id that is out of date matches nothing, a prediction that is would be believed.
"""

import asyncio
import logging
from typing import Any

import faust

from app.settings import Settings
from app.streams import App

log = logging.getLogger(__name__)

MOST = 100_000
"""Predictions in the table of one worker; the oldest go first."""
_MOST_UNSAID = 1_000


class Forgettable(faust.Table[bytes, bytes]):
    """A table that never holds up, nor ends, the worker for its changelog: what can't be written there is left out.

    Faust's own writes each change through a buffer that ends the worker once the broker refuses one.
    """

    def __init__(self, app: App, most: int = MOST, **options: Any) -> None:
        super().__init__(app, **options)
        self._most = most
        self._noting: set[asyncio.Task[None]] = set()

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Note the change, and make room."""
        self._note(key, value)
        while len(self) > self._most:
            del self[next(iter(self))]

    def on_key_del(self, key: bytes) -> None:
        """Note the change."""
        self._note(key, None)

    def _note(self, key: bytes, value: bytes | None) -> None:
        if len(self._noting) < _MOST_UNSAID:
            noting = asyncio.create_task(self._write(key, value))
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)

    async def _write(self, key: bytes, value: bytes | None) -> None:
        try:
            producer = await self.app.maybe_start_producer()
            await (await producer.send(self.changelog_topic_name, key, value, None, None, None))
        except Exception as error:
            log.info("not in the changelog of the last outcomes: %s", error)


def last_outcomes(app: App, settings: Settings) -> Any:
    """The table of this worker's app: prediction id to outcome id."""
    table = Forgettable(
        app,
        name="outcomes",
        beacon=app.tables.beacon,
        partitions=settings.partitions,
        key_type=bytes,
        value_type=bytes,
    )
    return app.tables.add(table)
