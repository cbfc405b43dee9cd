"""A sitting of the review: the item that is looked at, and what each key does with it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from app.access.scopes import missing
from app.api.refusals import AWAY
from app.pages import frame
from app.pages.answers import Answer, brief, shown
from app.pages.bulk import Bulk
from app.pages.claims import CLAIM_SECONDS
from app.pages.desk import Desk
from app.pages.elements import Node, button
from app.pages.item import details, in_words, nothing
from app.pages.parts import Parts
from app.pages.widgets import Keys
from models.base import Rejected

KEYS: Mapping[str, str] = {
    "Enter": "accept it; or send the correction, if you changed something",
    "x": "it is wrong, whatever would be right",
    "+": "reward it: 1",
    "0": "reward it: 0",
    "-": "reward it: -1",
    "1 to 9": "the action that would have been right, then Enter",
    "s": "skip it: others see it later",
    "u": "take back what you said last",
    "b": "accept many at once",
    "e": "edit the text; Esc leaves the field",
    "Space": "play or pause the sound",
}
_PRESSED = ("Enter", "a", "x", "+", "=", "0", "-", "s", "u", "b", *"123456789")
_UNDONE = (
    "It is open again. What you said stays in the log, and counts until you say something else of it: "
    "of one person's feedback the last counts."
)


class Sitting:
    """The item that is looked at, and what may be done with it."""

    def __init__(self, parts: Parts, desk: Desk, viewer: frame.Viewer) -> None:
        self._parts = parts
        self._desk = desk
        self._viewer = viewer
        self._may = frame.may("feedback")
        self._busy = asyncio.Lock()
        self._answer: Answer | None = None
        self._bulk: Bulk | None = None
        self._only: str = ""
        self._status = Node("p", style="status small", role="status")
        with Node("div", style="desk"):
            self._place = Node("section", style="panel stack", aria_label="Prediction")
            with Node("aside", style="stack", aria_label="This sitting"):
                Node("h3", "This sitting")
                self._done = Node("ol", style="done small")
                with Node("p", style="muted small"):
                    Node("kbd", "?")
                    Node("span", " shows all keys")
        frame.help_dialog("Keys of the review", KEYS)
        Keys(_PRESSED, self.press)
        ui.timer(CLAIM_SECONDS / 4, desk.keep)

    async def begin(self, prediction_id: str) -> None:
        """Show the first item, or the one that is asked for."""
        self._only = prediction_id
        await self._do(self._go_on)

    async def press(self, key: str) -> None:
        """What a key does."""
        if self._bulk is not None:
            await self._press_bulk(key)
        elif key in ("Enter", "a"):
            await self.accept()
        elif key == "x":
            await self.say("Said to be wrong", accepted=False)
        elif key in "+=0-":
            reward = {"+": 1.0, "=": 1.0, "0": 0.0, "-": -1.0}[key]
            await self.say(f"Rewarded with {reward:g}", reward=reward)
        elif key == "s":
            await self._do(self._skip)
        elif key == "u":
            await self.undo()
        elif key == "b":
            await self.bulk()
        elif self._answer is not None and key.isdecimal():
            self._answer.choose(int(key))

    async def accept(self) -> None:
        """Accept the item; or correct it, if the viewer has changed something."""
        try:
            correction = None if self._answer is None else self._answer.correction()
        except Rejected as error:
            self._tell(str(error), bad=True)
            return
        if correction is None:
            await self.say("Accepted", accepted=True)
        else:
            await self.say(f"Corrected to {brief(correction)}", correction=correction)

    async def say(self, what: str, **said: Any) -> None:
        """Say it of the present item, and go on to the next."""
        if self._desk.item is None or not self._is_allowed():
            return
        if not (actor := self._viewer.name):
            self._viewer.ask()
            self._tell("Say first who you are: each piece of feedback has a name.", bad=True)
            return

        async def work() -> str:
            await self._desk.say(actor, **said)
            await self._go_on()
            return f"{what}. u takes it back."

        await self._do(work)

    def _is_allowed(self) -> bool:
        """Whether the viewer may say anything; if not, they are told so."""
        if not self._may:
            self._tell(f"Nothing was said: {missing('feedback')}.", bad=True)
        return self._may

    async def undo(self) -> None:
        """Take back what was last said; what is being said now, once it is said."""

        async def work() -> str:
            undone = await self._desk.undo()
            if undone is None:
                return "There is nothing to take back in this sitting."
            return "What you had said of it before is said again, and counts again." if undone.restored else _UNDONE

        await self._do(work, patient=True)

    async def bulk(self) -> None:
        """Show the next ones together, to be accepted at once."""
        if not self._is_allowed():
            return
        async with self._busy:
            if self._desk.item is not None:
                await self._desk.give_back([self._desk.item])
            items = await self._desk.many(Bulk.MOST)
            self._place.clear()
            with self._place:
                self._bulk = Bulk(items, self._press_bulk)

    async def _press_bulk(self, key: str) -> None:
        bulk = self._bulk
        if bulk is None or key not in ("Enter", "b"):
            return
        chosen = bulk.chosen if key == "Enter" else []
        if chosen and not self._viewer.name:
            self._viewer.ask()
            return

        async def work() -> str:
            self._bulk = None
            await self._desk.give_back([one for one in bulk.items if one not in chosen])
            await self._desk.accept(chosen, self._viewer.name)
            await self._desk.next()
            return f"{len(chosen)} accepted. u takes them back, one by one." if chosen else ""

        await self._do(work)

    async def _go_on(self) -> str:
        await (self._desk.open(self._only) if self._only else self._desk.next())
        return ""

    async def _skip(self) -> str:
        await self._desk.skip()
        return "Skipped"

    async def _do(self, work: Callable[[], Awaitable[str]], patient: bool = False) -> None:
        """Do it and show what came of it; while something else is being done, not at all or, if patient, after it."""
        if self._busy.locked() and not patient:  # a key too many must not judge what was not seen
            return
        async with self._busy:
            try:
                told = await work()
            except (Rejected, ValueError) as error:
                self._tell(str(error), bad=True)
            except AWAY as error:
                self._tell(f"Nothing was said: {error}. Try again.", bad=True)
            else:
                self._tell(told)
                self._show()

    def _tell(self, text: str, bad: bool = False) -> None:
        self._status.say(text).put("class", f"status small {'bad' if bad else ''}")

    def _show(self) -> None:
        item = self._desk.item
        self._place.clear()
        with self._place:
            if item is None:
                self._answer = None
                nothing(self._desk.queue, self._only)
            else:
                self._place.put("data-prediction", item.prediction_id)
                task = self._parts.tasks[self._desk.task]
                self._answer = shown(item, task.labels(), task.review_editor)
                self._buttons()
                details(item)
        self._done.clear()
        with self._done:
            for done in reversed(self._desk.done[-12:]):
                Node("li", f"{brief(done.item.output)} → {in_words(done.given.model_dump())}")
            if not self._desk.done:
                Node("li", "nothing said yet", "muted")

    def _buttons(self) -> None:
        with Node("div", style="bar"):
            for text, key, style in _BUTTONS:
                with button(text, lambda key=key: self.press(key), style):
                    Node("kbd", key)


_BUTTONS = (
    ("Right", "Enter", "main"),
    ("Wrong", "x", ""),
    ("Good", "+", ""),
    ("Bad", "-", ""),
    ("Skip", "s", "plain"),
    ("Undo", "u", "plain"),
    ("Many", "b", "plain"),
)
