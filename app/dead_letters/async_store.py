"""Async access to dead letters for the API and the pages.

Queries run one at a time, each in a thread with its own event loop.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TypeVar

from app.dead_letters import redelivery, store
from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter
from app.dead_letters.store import DeadLetterStore
from app.errors import SetupError
from app.events.cloudevents import ConsumedRecord
from app.settings import Settings

_T = TypeVar("_T")


class DeadLetterNotFound(LookupError):
    """There is no dead letter with this id."""


class AsyncDeadLetterStore:
    """The dead letters of a deployment.

    All methods raise KafkaError without a broker, and `SetupError`, OSError or `Unavailable` if the archive is
    unreadable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._semaphore = asyncio.Semaphore(1)

    async def page(
        self, criteria: DeadLetterFilter, limit: int, before: str | None = None
    ) -> tuple[list[DeadLetterEntry], bool]:
        """Return the newest `limit` dead letters that match, newest first, and whether there are more.

        `before` is the id of the letter at which the page ends. Raises `DeadLetterNotFound` if there is none.
        """

        async def run_query(log: DeadLetterStore) -> tuple[list[DeadLetterEntry], bool]:
            return await _find_page(log, criteria, limit, before)

        return await self._run(run_query)

    async def page_with_codes(
        self, criteria: DeadLetterFilter, limit: int, before: str | None = None
    ) -> tuple[list[DeadLetterEntry], bool, Counter[str]]:
        """Return the same as `page`, and how many dead letters there are of each code, of any age."""

        async def run_query(log: DeadLetterStore) -> tuple[list[DeadLetterEntry], bool, Counter[str]]:
            letters, more = await _find_page(log, criteria, limit, before)
            return letters, more, log.count_codes(replace(criteria, code=None))

        return await self._run(run_query)

    async def read(self, letter_id: str) -> tuple[DeadLetterEntry, ConsumedRecord]:
        """Return a dead letter and its record. Raises `DeadLetterNotFound`, and `Rejected` if its blob is gone."""

        async def run_query(log: DeadLetterStore) -> tuple[DeadLetterEntry, ConsumedRecord]:
            return next(log.read_originals([await _find_one(log, letter_id)]))

        return await self._run(run_query)

    async def redeliver(
        self, letter_id: str, force: bool = False
    ) -> tuple[list[DeadLetterEntry], redelivery.RedeliveryResult]:
        """Publish the record again to its topic, after earlier rejected feedback on the same prediction.

        Return the redelivered letters and the result. Raises `DeadLetterNotFound`, `Rejected` if a payload is gone,
        `SetupError` if redelivery is impossible or, without `force`, was done before.
        """

        async def run_query(log: DeadLetterStore) -> tuple[list[DeadLetterEntry], redelivery.RedeliveryResult]:
            letter = await _find_one(log, letter_id)
            if letter.redeliveries and not force:
                raise SetupError(
                    f"The dead letter {letter.id} was redelivered before.", "Confirm to redeliver it again."
                )
            letters = sorted([*await log.find_earlier_feedback([letter]), letter], key=lambda entry: entry.sort_key)
            redelivery.check_redeliverable(self._settings, letters)
            return letters, await redelivery.redeliver(self._settings, log.read_originals(letters))

        return await self._run(run_query)

    async def _run(self, run_query: Callable[[DeadLetterStore], Coroutine[None, None, _T]]) -> _T:
        async def run_in_store() -> _T:
            async with store.open_dead_letters(self._settings) as log:
                return await run_query(log)

        async with self._semaphore:
            return await asyncio.to_thread(asyncio.run, run_in_store())


async def _find_page(
    log: DeadLetterStore, criteria: DeadLetterFilter, limit: int, before: str | None
) -> tuple[list[DeadLetterEntry], bool]:
    sort_key = None if before is None else (await _find_one(log, before)).sort_key
    letters = await log.find(replace(criteria, before=sort_key), limit + 1)
    return letters[::-1][:limit], len(letters) > limit


async def _find_one(log: DeadLetterStore, letter_id: str) -> DeadLetterEntry:
    letters = await log.find(DeadLetterFilter(frozenset([letter_id])))
    if not letters:
        raise DeadLetterNotFound(f"there is no dead letter {letter_id!r}")
    return letters[0]
