"""Dead letters for a process that serves: each question in a thread with a loop of its own, one at a time."""

import asyncio
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
    """There is no dead letter of this id; the message says so."""


class AsyncDeadLetterStore:
    """The dead letters of a deployment.

    All methods raise KafkaError where there is no broker, and `SetupError`, OSError or `Unavailable` where the archive
    can't be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._semaphore = asyncio.Semaphore(1)

    async def page(
        self, criteria: DeadLetterFilter, limit: int, before: str | None = None
    ) -> tuple[list[DeadLetterEntry], bool]:
        """Those that are wanted, the newest first, at most `limit`, and whether there are more.

        Before the letter of that id, if there is one. Raises `NoLetter` for one that there isn't.
        """

        async def ask(log: DeadLetterStore) -> tuple[list[DeadLetterEntry], bool]:
            order = None if before is None else (await _find_one(log, before)).sort_key
            found = await log.find(replace(criteria, before=order), limit + 1)
            return found[::-1][:limit], len(found) > limit

        return await self._run(ask)

    async def read(self, letter_id: str) -> tuple[DeadLetterEntry, ConsumedRecord]:
        """A letter, and its record. Raises `NoLetter`, and `Rejected` where its payload is gone from blob storage."""

        async def ask(log: DeadLetterStore) -> tuple[DeadLetterEntry, ConsumedRecord]:
            return next(log.read_originals([await _find_one(log, letter_id)]))

        return await self._run(ask)

    async def redeliver(
        self, letter_id: str, force: bool = False
    ) -> tuple[list[DeadLetterEntry], redelivery.RedeliveryResult]:
        """Publish it again, where it came from: after earlier feedback on the same prediction, which goes back as well.

        Returns what went back, and what the broker refused. Raises `NoLetter`, `Rejected` where a payload is gone,
        `SetupError` where it can't go back or, unless `again` is said, has gone before.
        """

        async def ask(log: DeadLetterStore) -> tuple[list[DeadLetterEntry], redelivery.RedeliveryResult]:
            letter = await _find_one(log, letter_id)
            if letter.redeliveries and not force:
                raise SetupError(f"The dead letter {letter.id} was replayed before.", "Say so to replay it again.")
            letters = sorted([*await log.find_earlier_feedback([letter]), letter], key=lambda one: one.sort_key)
            redelivery.check_redeliverable(self._settings, letters)
            return letters, await redelivery.redeliver(self._settings, log.read_originals(letters))

        return await self._run(ask)

    async def _run(self, ask: Callable[[DeadLetterStore], Coroutine[None, None, _T]]) -> _T:
        async def opened() -> _T:
            async with store.open_dead_letters(self._settings) as log:
                return await ask(log)

        async with self._semaphore:
            return await asyncio.to_thread(asyncio.run, opened())


async def _find_one(log: DeadLetterStore, letter_id: str) -> DeadLetterEntry:
    found = await log.find(DeadLetterFilter(frozenset([letter_id])))
    if not found:
        raise DeadLetterNotFound(f"there is no dead letter {letter_id!r}")
    return found[0]
