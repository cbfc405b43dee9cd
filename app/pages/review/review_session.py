"""A person's review of a queue, without its page: the next item, feedback on it, and undo."""

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.errors import SetupError
from app.events.types import FeedbackGiven, FeedbackRetracted, ReviewQueue
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.outcomes.label_aggregation import draw_selection
from app.pages.review.claims import Claims
from app.pages.review.queues import find_waiting
from app.services.feedback import publish_feedback
from app.services.payloads import Payload, PayloadNotFound
from app.services.services import Services

_PARTS = ("lines", "segments")
"""The parts that the text of an output may have."""
MAX_AGE = timedelta(days=7)
"""Older predictions are not reviewed."""


async def waiting_predictions(services: Services, queue: ReviewQueue, task: str) -> list[str]:
    """Return the ids of a queue's unanswered predictions, in the order of review. Raises TRANSIENT_ERRORS."""
    versions, rules = list(services.controller.models[task].versions), services.settings.for_task(task)
    since = datetime.now(UTC) - MAX_AGE
    return await asyncio.to_thread(
        services.catalog.query, lambda connection: find_waiting(connection, queue, task, versions, rules, since)
    )


@dataclass(frozen=True)
class ReviewItem:
    """A prediction to review, with its feedback."""

    prediction_id: str
    prediction: dict[str, Any]
    """The result of `Catalog.prediction`."""
    selection: str
    """The selection that its outcome will have: all, audit or volunteer."""
    payload: Payload | None
    payload_error: str
    """The reason if there is no payload."""

    @property
    def output(self) -> dict[str, Any]:
        """The prediction's output."""
        output: dict[str, Any] = self.prediction["output"]
        return output

    @property
    def feedback(self) -> list[dict[str, Any]]:
        """The prediction's feedback, oldest first."""
        feedback: list[dict[str, Any]] = self.prediction["feedback"]
        return feedback

    @property
    def blank(self) -> "ReviewItem | None":
        """The item with an empty output, for a blind review; None if people can't write such an output themselves."""
        match self.output:
            case {"text": str()}:
                empty: dict[str, Any] = {"text": ""} | {name: [] for name in _PARTS if name in self.output}
            case {"boxes": list()}:
                empty = {"boxes": []}
            case {"action": str()}:
                empty = {"action": ""}
            case _:
                return None
        return replace(self, prediction={**self.prediction, "output": empty, "feedback": []})


@dataclass(frozen=True)
class SubmittedFeedback:
    """Feedback of this session on an item, with the id of its event."""

    item: ReviewItem
    feedback: FeedbackGiven
    id: str


class ReviewSession:
    """A review session. It claims and fetches the next item while the current one is reviewed."""

    def __init__(self, services: Services, claims: Claims, task: str, queue: ReviewQueue) -> None:
        self._services = services
        self._claims = claims
        self.task = task
        self.queue: ReviewQueue = queue
        self._holder = str(uuid.uuid4())
        self._seen_ids: set[str] = set()
        self._prefetch: asyncio.Task[ReviewItem | None] | None = None
        self.item: ReviewItem | None = None
        self._is_from_queue = True
        self.is_blind = False
        """Whether the reviewer must not see the output of the item yet."""
        self.submitted: list[SubmittedFeedback] = []

    async def next(self) -> ReviewItem | None:
        """Go on to the next item; None if the queue is empty. Raises TRANSIENT_ERRORS."""
        prefetch, self._prefetch = self._prefetch, None
        self.item = await (prefetch or self._fetch_next())
        self._is_from_queue = True
        # An output that is shown is an anchor: people accept what they would not have written.
        editable = self._services.tasks[self.task].review_editor is None
        self.is_blind = self.queue == "audit" and editable and self.item is not None and self.item.blank is not None
        if self.item is not None:
            self._prefetch = asyncio.create_task(self._fetch_next())
        return self.item

    async def open(self, prediction_id: str) -> ReviewItem | None:
        """Open this prediction, even if it has feedback or a claim."""
        await self._cancel_prefetch()
        self._seen_ids.add(prediction_id)
        self.item = await self._load_item(prediction_id)
        self._is_from_queue = self.is_blind = False
        return self.item

    async def skip(self) -> ReviewItem | None:
        """Release the current item for others, and go on to the next."""
        if self.item is not None:
            await asyncio.to_thread(self._claims.release, [self.item.prediction_id], self._holder)
        return await self.next()

    async def submit(self, actor: str, **fields: Any) -> SubmittedFeedback:
        """Publish feedback on the current item. Raises `Rejected`, `Unconfirmed`, ValueError."""
        item = self.item
        assert item is not None
        queue = self.queue if self._is_from_queue else None
        blind = self.is_blind if queue else None
        feedback = FeedbackGiven(prediction_id=item.prediction_id, actor=actor, queue=queue, blind=blind, **fields)
        published = await publish_feedback(feedback, self._services.tasks, self._services.producer)
        submitted = SubmittedFeedback(item, feedback, published.id)
        self.submitted.append(submitted)
        await asyncio.to_thread(self._claims.mark_reviewed, item.prediction_id, self._holder)
        return submitted

    async def undo(self) -> SubmittedFeedback | None:
        """Retract the last feedback of this session, and open its item again; None if there is none.

        Raises `Unconfirmed`; it can be undone again then.
        """
        if not self.submitted:
            return None
        last = self.submitted[-1]
        retraction = FeedbackRetracted(
            prediction_id=last.item.prediction_id, actor=last.feedback.actor, retracts=last.id
        )
        await publish_feedback(retraction, self._services.tasks, self._services.producer)
        self.submitted.pop()
        if self.item is not None and self.item.prediction_id != last.item.prediction_id:
            self._seen_ids.discard(self.item.prediction_id)
            await asyncio.to_thread(self._claims.release, [self.item.prediction_id], self._holder)
        self.item = last.item
        self._is_from_queue, self.is_blind = last.feedback.queue is not None, False  # the list showed its output
        return last

    async def next_batch(self, limit: int) -> list[ReviewItem]:
        """Claim and load the next items together."""
        await self._cancel_prefetch()
        self._is_from_queue, self.is_blind = True, False
        ids = await self._claim_ids(limit)
        items = await asyncio.gather(*(self._load_item(prediction_id) for prediction_id in ids))
        return [item for item in items if item is not None]

    async def accept(self, items: list[ReviewItem], actor: str) -> None:
        """Accept all of these items."""
        for item in items:
            self.item = item
            await self.submit(actor, accepted=True)

    async def release(self, items: list[ReviewItem]) -> None:
        """Release these items for others."""
        await asyncio.to_thread(self._claims.release, [item.prediction_id for item in items], self._holder)

    async def renew_claims(self) -> None:
        """Renew the session's claims."""
        await asyncio.to_thread(self._claims.renew, self._holder)

    async def close(self) -> None:
        """End the session, and release the items that have no feedback."""
        await self._cancel_prefetch()
        if self.item is not None:
            await self.release([self.item])

    async def _fetch_next(self) -> ReviewItem | None:
        for prediction_id in await self._claim_ids(1):
            return await self._load_item(prediction_id)
        return None

    async def _claim_ids(self, limit: int) -> list[str]:
        waiting = await waiting_predictions(self._services, self.queue, self.task)
        unseen = [prediction_id for prediction_id in waiting if prediction_id not in self._seen_ids]
        claimed = await asyncio.to_thread(self._claims.acquire, unseen, self._holder, limit)
        self._seen_ids.update(claimed)
        return claimed

    async def _load_item(self, prediction_id: str) -> ReviewItem | None:
        prediction = await asyncio.to_thread(self._services.catalog.prediction, prediction_id)
        if prediction is None:
            return None
        payload, payload_error = None, ""
        try:
            payload = await self._services.payloads.read(prediction_id)
        except PayloadNotFound as error:
            payload_error = str(error)
        except SetupError as error:
            payload_error = error.one_line
        except TRANSIENT_ERRORS as error:
            payload_error = f"The payload can't be read now: {error}"
        selection, _ = draw_selection(self._services.settings.for_task(self.task), prediction_id)
        return ReviewItem(prediction_id, prediction, selection, payload, payload_error)

    async def _cancel_prefetch(self) -> None:
        prefetch, self._prefetch = self._prefetch, None
        if prefetch is None:
            return
        [item] = await asyncio.gather(prefetch, return_exceptions=True)
        if isinstance(item, ReviewItem):
            self._seen_ids.discard(item.prediction_id)
            await self.release([item])
