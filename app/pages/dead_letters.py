"""`/dead-letters`: what could not be processed, why, and its way back."""

from urllib.parse import urlencode

from nicegui import ui

from app.dead_letters.async_store import NoLetter
from app.dead_letters.letter import Letter, Wanted, shown
from app.errors import SetupError
from app.kafka.transient_errors import AWAY
from app.pages import layout
from app.pages.confirmation import Answers, Confirm
from app.pages.elements import Node, button, facts, heads, tabs
from app.services.services import Parts
from models.base import Rejected

HERE = "/dead-letters"
STAGES = ("preprocess", "inference", "predictions", "feedback", "outcomes")
MOST = 50


def register(parts: Parts) -> None:
    """Add the page."""

    @ui.page(HERE)
    async def dead_letters(stage: str = "", before: str = "", id: str = "") -> None:
        with layout.page("Dead letters", HERE):
            with Node("div", style="bar"):
                Node("h1", "Dead letters")
                ways = {"All": HERE} | {one: f"{HERE}?{urlencode({'stage': one})}" for one in STAGES}
                tabs("Stages", ways, "" if id else stage or "All")
            try:
                if id:
                    await _one(parts, id)
                else:
                    await _list(parts, stage, before)
            except NoLetter as error:
                Node("p", f"{error}. It may have been erased.", "note")
            except SetupError as error:
                Node("p", error.in_a_line, "note bad")
            except AWAY as error:
                Node("p", f"That can't be seen now: {error}. Load the page again.", "note bad")


async def _list(parts: Parts, stage: str, before: str) -> None:
    found, more = await parts.letterbox.page(Wanted(stage=stage or None), MOST, before or None)
    with Node("section", style="panel"):
        if not found:
            with Node("div", style="empty"):
                Node("strong", "No dead letters")
                Node("span", "What a stage can't process comes here with its reason, and can go back after a fix.")
            return
        with Node("div", style="scroll"), Node("table", style="list"):
            heads("When", "Stage", "Reason", "From", "")
            with Node("tbody"):
                for letter in found:
                    _row(letter)
        if more:
            Node("a", "Older", href=f"{HERE}?{urlencode({'stage': stage, 'before': found[-1].id})}")


def _row(letter: Letter) -> None:
    with Node("tr", data_letter=letter.id):
        with Node("td"):
            Node("a", f"{letter.logged:%Y-%m-%d %H:%M:%S}", href=f"{HERE}?{urlencode({'id': letter.id})}")
        Node("td", letter.stage)
        with Node("td"):
            Node("strong", letter.code)
            Node("p", letter.reason, "muted small")
        Node("td", letter.topic)
        Node("td", _back(letter), "good small")


def _back(letter: Letter) -> str:
    return f"went back {letter.replayed} times" if letter.replayed else ""


async def _one(parts: Parts, letter_id: str) -> None:
    try:
        letter, original = await parts.letterbox.read(letter_id)
    except Rejected as error:
        Node("p", f"The payload can't be had: {error}", "note bad")
        return
    said = shown(letter, original)
    confirm = Confirm()

    async def replay(answers: Answers) -> str:
        try:
            letters, done = await parts.letterbox.replay(letter_id, again=bool(letter.replayed))
        except (NoLetter, Rejected) as error:
            raise SetupError(f"It can't go back: {error}.", "Look at its reason.") from error
        refused = f"; the broker refused {len(done.refused)} of them" if done.refused else ""
        return f"{len(letters)} went back to {letter.topic}{refused}. What fails again is a new dead letter."

    with Node("section", style="panel stack", aria_label="Dead letter"):
        with Node("div", style="bar"):
            Node("h2", f"{letter.stage}: {letter.code}")
            Node("span", _back(letter), "good small")
            if layout.may("operate"):
                text = f"It is published once more, as it was, to {letter.topic}. Mend first what was wrong."
                if letter.replayed:
                    text += " It went back before: what it was about may be there twice under one id, and counts once."
                button(
                    "Replay", lambda: confirm.ask("Replay", text, replay, reason=False), "push", data_change="replay"
                )
        Node("p", letter.reason)
        facts(
            {
                "when": f"{letter.logged:%Y-%m-%d %H:%M:%S} UTC",
                "from": f"{letter.topic}, partition {letter.partition}, offset {letter.offset}",
                "event": f"{letter.event[1]} of {letter.event[0]}",
                "key": str(said["key"] or "none"),
                "id": letter.id,
            }
            | {name: str(value) for name, value in said["headers"]}
        )
        with Node("div", style="bar"):
            Node("h3", f"Payload, {said['bytes']:,} bytes")
            Node("a", "Download", "small push", href=f"/v1/dead-letters/{letter.id}/payload")
        Node("pre", said["payload"] or "empty", "payload")
