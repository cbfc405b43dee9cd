"""The view of a review session: the current item, and the actions of keys and buttons on it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from app.auth.scopes import missing_scope_message
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.elements import Node
from app.pages.review.bulk import BulkReview
from app.pages.review.claims import CLAIM_SECONDS
from app.pages.review.editors import Editor, render_item, summarize_output
from app.pages.review.item_details import describe_feedback, render_details, render_empty
from app.pages.review.review_session import ReviewSession
from app.pages.review.shortcuts import KEY_HELP, KEYS, ReviewButtons
from app.pages.widgets import KeyListener
from app.services.services import Services
from models.base import Rejected


class SessionView:
    """The current item of a session, its editor, and the feedback of the session."""

    def __init__(self, services: Services, session: ReviewSession, viewer: layout.Viewer) -> None:
        self._services = services
        self._session = session
        self._viewer = viewer
        self._can_submit = layout.viewer_has_scope("feedback")
        self._lock = asyncio.Lock()
        self._editor: Editor | None = None
        self._buttons: ReviewButtons | None = None
        self._bulk_review: BulkReview | None = None
        self._requested_id: str = ""
        self._status = Node("p", style="status small", role="status")
        with Node("div", style="session"):
            self._item_panel = Node("section", style="panel stack", aria_label="Prediction")
            with Node("aside", style="stack", aria_label="This session"):
                Node("h3", "This session")
                self._submitted_list = Node("ol", style="done small")
                with Node("p", style="muted small"):
                    Node("kbd", "?")
                    Node("span", " shows all keys")
        layout.help_dialog("Keyboard shortcuts", KEY_HELP)
        KeyListener(KEYS, self.on_key)
        viewer.on_named = lambda: self._show_status(f"Feedback is given in the name of {viewer.name}.")
        ui.timer(CLAIM_SECONDS / 4, session.renew_claims)

    async def start(self, prediction_id: str) -> None:
        """Show the first item, or the requested one."""
        self._requested_id = prediction_id
        await self._run(self._show_next)

    async def on_key(self, key: str) -> None:
        """Run the action of a key."""
        if self._bulk_review is not None:
            await self._on_bulk_key(key)
        elif key in ("Enter", "a"):
            await self.accept()
        elif key == "x":
            await self._judge_served("Marked as wrong", accepted=False)
        elif key in "+=0-":
            reward = {"+": 1.0, "=": 1.0, "0": 0.0, "-": -1.0}[key]
            await self._judge_served(f"Rewarded with {reward:g}", reward=reward)
        elif key == "Escape":
            self._render()
        elif key == "o":
            self._session.is_blind = False
            self._render()
        elif key == "s":
            await self._run(self._skip)
        elif key == "u":
            await self.undo()
        elif key == "b":
            await self.show_bulk()
        elif self._editor is not None and key.isdecimal():
            self._editor.choose(int(key))
            self._show_change()

    async def accept(self) -> None:
        """Accept the item, or submit the viewer's correction."""
        try:
            correction = None if self._editor is None else self._editor.correction()
        except Rejected as error:
            self._show_status(str(error), is_error=True)
            return
        if correction is None:
            await self._judge_served("Accepted", accepted=True)
        else:
            await self.submit(f"Corrected to {summarize_output(correction)}", correction=correction)

    async def _judge_served(self, summary: str, **fields: Any) -> None:
        """Submit feedback on the served prediction; not if it is hidden, or if the viewer's change would be lost."""
        if self._session.is_blind:
            text = "Nothing was sent: enter your own answer first. o shows the model's; the answer is not blind then."
            self._show_status(text, is_error=True)
        elif self._editor is not None and self._editor.is_changed:
            text = "Nothing was sent: you changed the prediction. Enter sends your correction, Esc undoes the change."
            self._show_status(text, is_error=True)
        else:
            await self.submit(summary, **fields)

    async def submit(self, summary: str, **fields: Any) -> None:
        """Submit feedback on the current item, and go on to the next."""
        if self._session.item is None or not self._check_allowed():
            return
        if not (actor := self._viewer.name):
            self._viewer.ask_name()
            self._show_status("Enter your name first: feedback needs a name.", is_error=True)
            return

        async def submit_and_show_next() -> str:
            await self._session.submit(actor, **fields)
            await self._show_next()
            return f"{summary}. Press u to undo."

        await self._run(submit_and_show_next)

    def _check_allowed(self) -> bool:
        """Return whether the viewer may give feedback; show an error if not."""
        if not self._can_submit:
            self._show_status(f"No feedback was sent: {missing_scope_message('feedback')}.", is_error=True)
        return self._can_submit

    async def undo(self) -> None:
        """Undo the last feedback, after an action that is still running."""

        async def undo_last() -> str:
            if await self._session.undo() is None:
                return "There is no feedback to undo in this session."
            return "Your feedback is retracted: it no longer counts. The prediction is open again."

        await self._run(undo_last, wait=True)

    async def show_bulk(self) -> None:
        """Show the next items together."""
        if not self._check_allowed():
            return
        async with self._lock:
            if self._session.item is not None:
                await self._session.release([self._session.item])
            items = await self._session.next_batch(BulkReview.MAX_ITEMS)
            self._item_panel.clear()
            with self._item_panel:
                self._bulk_review = BulkReview(items, self._on_bulk_key)

    async def _on_bulk_key(self, key: str) -> None:
        bulk = self._bulk_review
        if bulk is None or key not in ("Enter", "b"):
            return
        selected = bulk.selected if key == "Enter" else []
        if selected and not self._viewer.name:
            self._viewer.ask_name()
            return

        async def accept_and_show_next() -> str:
            self._bulk_review = None
            await self._session.release([item for item in bulk.items if item not in selected])
            await self._session.accept(selected, self._viewer.name)
            await self._session.next()
            return f"{len(selected)} accepted. Press u to undo them one by one." if selected else ""

        await self._run(accept_and_show_next)

    async def _show_next(self) -> str:
        await (self._session.open(self._requested_id) if self._requested_id else self._session.next())
        return ""

    async def _skip(self) -> str:
        await self._session.skip()
        return "Skipped"

    async def _run(self, action: Callable[[], Awaitable[str]], wait: bool = False) -> None:
        """Run an action and show its result. While another action runs, wait for it or do nothing."""
        if self._lock.locked() and not wait:  # an extra key press must not judge an item that nobody has seen
            return
        async with self._lock:
            try:
                summary = await action()
            except (Rejected, ValueError) as error:
                self._show_status(str(error), is_error=True)
            except TRANSIENT_ERRORS as error:
                self._show_status(f"This failed: {error}. Try again.", is_error=True)
            else:
                self._show_status(summary)
                self._render()

    def _show_status(self, text: str, is_error: bool = False) -> None:
        self._status.set_text(text).set_attribute("class", f"status small {'bad' if is_error else ''}")

    def _render(self) -> None:
        item = self._session.item
        self._item_panel.clear()
        with self._item_panel:
            if item is None:
                self._editor = None
                render_empty(self._session.queue, self._requested_id)
            else:
                self._item_panel.set_attribute("data-prediction", item.prediction_id)
                task = self._services.tasks[self._session.task]
                shown = (item.blank if self._session.is_blind else None) or item
                self._editor = render_item(shown, task.labels(), task.review_editor)
                self._editor.on_change = self._show_change
                self._buttons = ReviewButtons(self.on_key)
                render_details(shown, self._session.is_blind)
        self._submitted_list.clear()
        with self._submitted_list:
            for entry in reversed(self._session.submitted[-12:]):
                Node("li", f"{summarize_output(entry.item.output)} → {describe_feedback(entry.feedback.model_dump())}")
            if not self._session.submitted:
                Node("li", "no feedback yet", "muted")

    def _show_change(self) -> None:
        if self._editor is not None and self._buttons is not None:
            self._buttons.show_change(self._editor.is_changed)
