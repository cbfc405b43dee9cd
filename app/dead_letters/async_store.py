"""Dead letters for a process that serves: each question in a thread with a loop of its own, one at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TypeVar

from app.dead_letters import redelivery, store
from app.dead_letters.letter import Letter, Wanted
from app.dead_letters.store import DeadLetters
from app.errors import SetupError
from app.events.cloudevents import Incoming
from app.settings import Settings

_T = TypeVar("_T")


class NoLetter(LookupError):
    """There is no dead letter of this id; the message says so."""


class Letterbox:
    """The dead letters of a deployment.

    All methods raise KafkaError where there is no broker, and `SetupError`, OSError or `Unavailable` where the archive
    can't be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = asyncio.Semaphore(1)

    async def page(self, wanted: Wanted, limit: int, before: str | None = None) -> tuple[list[Letter], bool]:
        """Those that are wanted, the newest first, at most `limit`, and whether there are more.

        Before the letter of that id, if there is one. Raises `NoLetter` for one that there isn't.
        """

        async def ask(log: DeadLetters) -> tuple[list[Letter], bool]:
            order = None if before is None else (await _one(log, before)).order
            found = await log.find(replace(wanted, before=order), limit + 1)
            return found[::-1][:limit], len(found) > limit

        return await self._ask(ask)

    async def read(self, letter_id: str) -> tuple[Letter, Incoming]:
        """A letter, and its record. Raises `NoLetter`, and `Rejected` where its payload is gone from blob storage."""

        async def ask(log: DeadLetters) -> tuple[Letter, Incoming]:
            return next(log.originals([await _one(log, letter_id)]))

        return await self._ask(ask)

    async def replay(self, letter_id: str, again: bool = False) -> tuple[list[Letter], redelivery.Replayed]:
        """Publish it again, where it came from: after earlier feedback on the same prediction, which goes back as well.

        Returns what went back, and what the broker refused. Raises `NoLetter`, `Rejected` where a payload is gone,
        `SetupError` where it can't go back or, unless `again` is said, has gone before.
        """

        async def ask(log: DeadLetters) -> tuple[list[Letter], redelivery.Replayed]:
            letter = await _one(log, letter_id)
            if letter.replayed and not again:
                raise SetupError(f"The dead letter {letter.id} was replayed before.", "Say so to replay it again.")
            letters = sorted([*await log.earlier([letter]), letter], key=lambda one: one.order)
            redelivery.check_replayable(self._settings, letters)
            return letters, await redelivery.replay(self._settings, log.originals(letters))

        return await self._ask(ask)

    async def _ask(self, ask: Callable[[DeadLetters], Coroutine[None, None, _T]]) -> _T:
        async def opened() -> _T:
            async with store.opened(self._settings) as log:
                return await ask(log)

        async with self._turn:
            return await asyncio.to_thread(asyncio.run, opened())


async def _one(log: DeadLetters, letter_id: str) -> Letter:
    found = await log.find(Wanted(frozenset([letter_id])))
    if not found:
        raise NoLetter(f"there is no dead letter {letter_id!r}")
    return found[0]
