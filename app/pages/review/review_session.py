"""One person's review of one queue: what comes next, what is said of it, and taking that back. Knows no page."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.errors import SetupError
from app.events.types import FeedbackGiven
from app.kafka.transient_errors import AWAY
from app.outcomes.label_aggregation import drawn
from app.pages.review.claims import Claims
from app.pages.review.queues import Queue, waiting
from app.services.feedback import give
from app.services.payloads import NoPayload, Payload
from app.services.services import Parts

SINCE = timedelta(days=7)
"""What is older is looked at no more."""


@dataclass(frozen=True)
class Item:
    """A prediction to be judged, and all that was said of it."""

    prediction_id: str
    recorded: dict[str, Any]
    """As `Catalog.prediction` has it."""
    selection: str
    """How it came to be looked at, as its outcome will have it."""
    payload: Payload | None
    trouble: str
    """Why there is no payload."""

    @property
    def output(self) -> dict[str, Any]:
        """What was predicted."""
        output: dict[str, Any] = self.recorded["output"]
        return output

    @property
    def said(self) -> list[dict[str, Any]]:
        """What was said of it, the oldest first."""
        said: list[dict[str, Any]] = self.recorded["feedback"]
        return said


@dataclass(frozen=True)
class Done:
    """What was said of an item in this sitting; `before` is what its actor had said of it until then."""

    item: Item
    given: FeedbackGiven
    before: FeedbackGiven | None


@dataclass(frozen=True)
class Undone:
    """What an undoing came to: what was said before is said again, or the item is open again."""

    done: Done
    restored: bool


class Desk:
    """A sitting. The next item is claimed and fetched while the present one is looked at."""

    def __init__(self, parts: Parts, claims: Claims, task: str, queue: Queue) -> None:
        self._parts = parts
        self._claims = claims
        self.task = task
        self.queue: Queue = queue
        self._holder = str(uuid.uuid4())
        self._seen: set[str] = set()
        self._ahead: asyncio.Task[Item | None] | None = None
        self.item: Item | None = None
        self.done: list[Done] = []

    async def next(self) -> Item | None:
        """Go on to the next item; None where nothing waits. Raises what is in `AWAY`."""
        ahead, self._ahead = self._ahead, None
        self.item = await (ahead or self._fetch())
        if self.item is not None:
            self._ahead = asyncio.create_task(self._fetch())
        return self.item

    async def open(self, prediction_id: str) -> Item | None:
        """Look at this one, whoever has said what of it."""
        await self._drop_ahead()
        self._seen.add(prediction_id)
        self.item = await self._load(prediction_id)
        return self.item

    async def skip(self) -> Item | None:
        """Leave it to others."""
        if self.item is not None:
            await asyncio.to_thread(self._claims.give_back, [self.item.prediction_id], self._holder)
        return await self.next()

    async def say(self, actor: str, **said: Any) -> Done:
        """Say something of the present item, as an event. Raises `Rejected`, `Unconfirmed`, ValueError."""
        item = self.item
        assert item is not None
        given = FeedbackGiven(prediction_id=item.prediction_id, actor=actor, **said)
        await give(given, self._parts.tasks, self._parts.publisher)
        await asyncio.to_thread(self._claims.done, item.prediction_id, self._holder)
        return self._note(item, given)

    async def undo(self) -> Undone | None:
        """Take back what was last said; None where nothing was.

        Events stay for ever. Where the actor had said something of it before, that is said again and counts again; else
        the item is open again, and what was said counts until something else is.
        """
        if not self.done:
            return None
        last = self.done[-1]
        if last.before is not None:
            await give(last.before, self._parts.tasks, self._parts.publisher)
            self.done.pop()
            return Undone(last, restored=True)
        self.done.pop()
        if self.item is not None:
            self._seen.discard(self.item.prediction_id)
            await asyncio.to_thread(self._claims.give_back, [self.item.prediction_id], self._holder)
        self.item = last.item
        return Undone(last, restored=False)

    async def many(self, most: int) -> list[Item]:
        """The next items, all at once."""
        await self._drop_ahead()
        ids = await self._claim(most)
        found = await asyncio.gather(*(self._load(one) for one in ids))
        return [one for one in found if one is not None]

    async def accept(self, items: list[Item], actor: str) -> None:
        """Say of all of these that they are right."""
        for item in items:
            self.item = item
            await self.say(actor, accepted=True)

    async def give_back(self, items: list[Item]) -> None:
        """Leave these to others."""
        await asyncio.to_thread(self._claims.give_back, [one.prediction_id for one in items], self._holder)

    async def keep(self) -> None:
        """Go on holding what is claimed."""
        await asyncio.to_thread(self._claims.keep, self._holder)

    async def close(self) -> None:
        """End the sitting: what isn't judged is others'."""
        await self._drop_ahead()
        if self.item is not None:
            await self.give_back([self.item])

    def _note(self, item: Item, given: FeedbackGiven) -> Done:
        earlier = [one.given for one in self.done if one.item.prediction_id == item.prediction_id]
        said = [*item.said, *(one.model_dump() for one in earlier)]
        own = [one for one in said if one["actor"] == given.actor]
        fields = ("prediction_id", "actor", "correction", "reward", "accepted")
        before = FeedbackGiven(**{name: own[-1][name] for name in fields}) if own else None
        done = Done(item, given, before)
        self.done.append(done)
        return done

    async def _fetch(self) -> Item | None:
        for unique in await self._claim(1):
            return await self._load(unique)
        return None

    async def _claim(self, most: int) -> list[str]:
        models = self._parts.controller.models[self.task]
        rules, since = self._parts.settings.of_task(self.task), datetime.now(UTC) - SINCE
        waits = await asyncio.to_thread(
            self._parts.catalog.ask,
            lambda connection: waiting(connection, self.queue, self.task, list(models.versions), rules, since),
        )
        fresh = [one for one in waits if one not in self._seen]
        taken = await asyncio.to_thread(self._claims.take, fresh, self._holder, most)
        self._seen.update(taken)
        return taken

    async def _load(self, prediction_id: str) -> Item | None:
        recorded = await asyncio.to_thread(self._parts.catalog.prediction, prediction_id)
        if recorded is None:
            return None
        payload, trouble = None, ""
        try:
            payload = await self._parts.payloads.of(prediction_id)
        except NoPayload as error:
            trouble = str(error)
        except SetupError as error:
            trouble = error.in_a_line
        except AWAY as error:
            trouble = f"The payload can't be had now: {error}"
        return Item(prediction_id, recorded, self._selection(prediction_id), payload, trouble)

    def _selection(self, prediction_id: str) -> str:
        rules = self._parts.settings.of_task(self.task)
        if rules.all_are_judged:
            return "all"
        return "audit" if drawn(prediction_id, rules.audit_rate) else "volunteer"

    async def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        [found] = await asyncio.gather(ahead, return_exceptions=True)
        if isinstance(found, Item):
            self._seen.discard(found.prediction_id)
            await self.give_back([found])
