"""One person's review of one queue: what comes next, what is said of it, and taking that back. Knows no page."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.errors import SetupError
from app.events.types import FeedbackGiven
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.outcomes.label_aggregation import in_audit_sample
from app.pages.review.claims import Claims
from app.pages.review.queues import Queue, find_waiting
from app.services.feedback import publish_feedback
from app.services.payloads import Payload, PayloadNotFound
from app.services.services import Services

MAX_AGE = timedelta(days=7)
"""What is older is looked at no more."""


@dataclass(frozen=True)
class ReviewItem:
    """A prediction to be judged, and all that was said of it."""

    prediction_id: str
    prediction: dict[str, Any]
    """As `Catalog.prediction` has it."""
    selection: str
    """How it came to be looked at, as its outcome will have it."""
    payload: Payload | None
    payload_error: str
    """Why there is no payload."""

    @property
    def output(self) -> dict[str, Any]:
        """What was predicted."""
        output: dict[str, Any] = self.prediction["output"]
        return output

    @property
    def feedback(self) -> list[dict[str, Any]]:
        """What was said of it, the oldest first."""
        said: list[dict[str, Any]] = self.prediction["feedback"]
        return said


@dataclass(frozen=True)
class SubmittedFeedback:
    """What was said of an item in this sitting; `before` is what its actor had said of it until then."""

    item: ReviewItem
    feedback: FeedbackGiven
    previous: FeedbackGiven | None


@dataclass(frozen=True)
class UndoResult:
    """What an undoing came to: what was said before is said again, or the item is open again."""

    submitted: SubmittedFeedback
    restored: bool


class ReviewSession:
    """A sitting. The next item is claimed and fetched while the present one is looked at."""

    def __init__(self, services: Services, claims: Claims, task: str, queue: Queue) -> None:
        self._services = services
        self._claims = claims
        self.task = task
        self.queue: Queue = queue
        self._holder = str(uuid.uuid4())
        self._seen_ids: set[str] = set()
        self._prefetch: asyncio.Task[ReviewItem | None] | None = None
        self.item: ReviewItem | None = None
        self.submitted: list[SubmittedFeedback] = []

    async def next(self) -> ReviewItem | None:
        """Go on to the next item; None where nothing waits. Raises what is in `AWAY`."""
        ahead, self._prefetch = self._prefetch, None
        self.item = await (ahead or self._fetch_next())
        if self.item is not None:
            self._prefetch = asyncio.create_task(self._fetch_next())
        return self.item

    async def open(self, prediction_id: str) -> ReviewItem | None:
        """Look at this one, whoever has said what of it."""
        await self._cancel_prefetch()
        self._seen_ids.add(prediction_id)
        self.item = await self._load_item(prediction_id)
        return self.item

    async def skip(self) -> ReviewItem | None:
        """Leave it to others."""
        if self.item is not None:
            await asyncio.to_thread(self._claims.release, [self.item.prediction_id], self._holder)
        return await self.next()

    async def submit(self, actor: str, **said: Any) -> SubmittedFeedback:
        """Say something of the present item, as an event. Raises `Rejected`, `Unconfirmed`, ValueError."""
        item = self.item
        assert item is not None
        given = FeedbackGiven(prediction_id=item.prediction_id, actor=actor, **said)
        await publish_feedback(given, self._services.tasks, self._services.producer)
        await asyncio.to_thread(self._claims.mark_reviewed, item.prediction_id, self._holder)
        return self._record_submission(item, given)

    async def undo(self) -> UndoResult | None:
        """Take back what was last said; None where nothing was.

        Events stay for ever. Where the actor had said something of it before, that is said again and counts again; else
        the item is open again, and what was said counts until something else is.
        """
        if not self.submitted:
            return None
        last = self.submitted[-1]
        if last.previous is not None:
            await publish_feedback(last.previous, self._services.tasks, self._services.producer)
            self.submitted.pop()
            return UndoResult(last, restored=True)
        self.submitted.pop()
        if self.item is not None:
            self._seen_ids.discard(self.item.prediction_id)
            await asyncio.to_thread(self._claims.release, [self.item.prediction_id], self._holder)
        self.item = last.item
        return UndoResult(last, restored=False)

    async def next_batch(self, limit: int) -> list[ReviewItem]:
        """The next items, all at once."""
        await self._cancel_prefetch()
        ids = await self._claim_ids(limit)
        found = await asyncio.gather(*(self._load_item(one) for one in ids))
        return [one for one in found if one is not None]

    async def accept(self, items: list[ReviewItem], actor: str) -> None:
        """Say of all of these that they are right."""
        for item in items:
            self.item = item
            await self.submit(actor, accepted=True)

    async def release(self, items: list[ReviewItem]) -> None:
        """Leave these to others."""
        await asyncio.to_thread(self._claims.release, [one.prediction_id for one in items], self._holder)

    async def renew_claims(self) -> None:
        """Go on holding what is claimed."""
        await asyncio.to_thread(self._claims.renew, self._holder)

    async def close(self) -> None:
        """End the sitting: what isn't judged is others'."""
        await self._cancel_prefetch()
        if self.item is not None:
            await self.release([self.item])

    def _record_submission(self, item: ReviewItem, given: FeedbackGiven) -> SubmittedFeedback:
        earlier = [one.feedback for one in self.submitted if one.item.prediction_id == item.prediction_id]
        said = [*item.feedback, *(one.model_dump() for one in earlier)]
        own = [one for one in said if one["actor"] == given.actor]
        fields = ("prediction_id", "actor", "correction", "reward", "accepted")
        before = FeedbackGiven(**{name: own[-1][name] for name in fields}) if own else None
        done = SubmittedFeedback(item, given, before)
        self.submitted.append(done)
        return done

    async def _fetch_next(self) -> ReviewItem | None:
        for unique in await self._claim_ids(1):
            return await self._load_item(unique)
        return None

    async def _claim_ids(self, limit: int) -> list[str]:
        models = self._services.controller.models[self.task]
        rules, since = self._services.settings.for_task(self.task), datetime.now(UTC) - MAX_AGE
        waits = await asyncio.to_thread(
            self._services.catalog.query,
            lambda connection: find_waiting(connection, self.queue, self.task, list(models.versions), rules, since),
        )
        fresh = [one for one in waits if one not in self._seen_ids]
        taken = await asyncio.to_thread(self._claims.acquire, fresh, self._holder, limit)
        self._seen_ids.update(taken)
        return taken

    async def _load_item(self, prediction_id: str) -> ReviewItem | None:
        recorded = await asyncio.to_thread(self._services.catalog.prediction, prediction_id)
        if recorded is None:
            return None
        payload, trouble = None, ""
        try:
            payload = await self._services.payloads.read(prediction_id)
        except PayloadNotFound as error:
            trouble = str(error)
        except SetupError as error:
            trouble = error.one_line
        except TRANSIENT_ERRORS as error:
            trouble = f"The payload can't be had now: {error}"
        return ReviewItem(prediction_id, recorded, self._selection(prediction_id), payload, trouble)

    def _selection(self, prediction_id: str) -> str:
        rules = self._services.settings.for_task(self.task)
        if rules.full_feedback:
            return "all"
        return "audit" if in_audit_sample(prediction_id, rules.audit_rate) else "volunteer"

    async def _cancel_prefetch(self) -> None:
        ahead, self._prefetch = self._prefetch, None
        if ahead is None:
            return
        [found] = await asyncio.gather(ahead, return_exceptions=True)
        if isinstance(found, ReviewItem):
            self._seen_ids.discard(found.prediction_id)
            await self.release([found])
